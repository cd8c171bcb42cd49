"""iNaturalist (2018: 8,142 species): a folder of images and a JSON that gives every image its species."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from simmim.data.samples import RawSample, printable
from simmim.data.sources._coco_json import ListedFiles, annotations_by_image, categories, read_annotations
from simmim.data.sources._files import existing_folder


@dataclass(frozen=True)
class Inaturalist:
    """The images that the JSON lists; training and validation files list the same categories.

    Args:
        root: folder that the file names of the JSON start from (it holds `train_val2018`).
        annotations: file such as train2018.json.
    """

    root: str
    annotations: str

    def classes(self) -> list[str]:
        """Category names in the order of their ids, which is the order of the labels."""
        document = read_annotations(self.annotations, "iNaturalist")
        return [category["name"] for category in categories(document, self.annotations)]

    def samples(self) -> Iterator[RawSample]:
        """Images in the order of their ids; the id is the file name.

        Raises:
            ValueError: when an annotation names an image or a category that the JSON does not list.
        """
        folder = existing_folder(self.root, "iNaturalist folder")
        files = ListedFiles(folder)
        document = read_annotations(self.annotations, "iNaturalist")
        species = annotations_by_image(document, self.annotations)
        for image in sorted(document["images"], key=lambda image: image["id"]):
            labels = [one["category_id"] for one in species[image["id"]]]
            content, fault = files.image(image["file_name"])
            if len(labels) != 1:
                fault = fault or f"the JSON gives this image {len(labels)} labels, not one"
            origin = printable(folder / image["file_name"])
            label = None if fault else labels[0]
            yield RawSample(printable(image["file_name"]), content, label, origin=origin, fault=fault)

    def fingerprint(self) -> str:
        """Digest of the names, sizes and modification times of the JSON and of the images it lists."""
        files = ListedFiles(existing_folder(self.root, "iNaturalist folder"))
        return files.digest(read_annotations(self.annotations, "iNaturalist"), self.annotations)
