"""COCO: a folder of images and an instances JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from simmim.data.samples import RawSample, printable
from simmim.data.sources._coco_json import annotations_by_image, categories, read_annotations, read_below
from simmim.data.sources._files import existing_folder

_KEYS = "id", "bbox", "area", "iscrowd", "segmentation"


@dataclass(frozen=True)
class Coco:
    """The images that the JSON lists, each with its objects; images without objects are kept.

    Args:
        images: folder of the split's images, such as train2017.
        annotations: file such as annotations/instances_train2017.json.
    """

    images: str
    annotations: str

    def classes(self) -> list[str]:
        """Category names in the order of their ids; `category_id` 1 to K in the samples counts along this list."""
        document = read_annotations(self.annotations, "COCO instances")
        return [category["name"] for category in categories(document, self.annotations)]

    def samples(self) -> Iterator[RawSample]:
        """Images in the order of their ids; the id is the file name.

        Raises:
            ValueError: when an object names an image or a category that the JSON does not list.
        """
        folder = existing_folder(self.images, "COCO image folder")
        document = read_annotations(self.annotations, "COCO instances")
        objects = annotations_by_image(document, self.annotations)
        for image in sorted(document["images"], key=lambda image: image["id"]):
            content, fault = read_below(folder, image["file_name"])
            kept = [
                {key: one[key] for key in _KEYS} | {"category_id": one["category_id"] + 1}
                for one in objects[image["id"]]
            ]
            annotation = json.dumps(kept, sort_keys=True).encode()
            image_px = int(image["height"]), int(image["width"])
            name = printable(image["file_name"])
            origin = printable(folder / image["file_name"])
            yield RawSample(name, content, None, annotation, image_px, origin=origin, fault=fault)
