"""COCO: a folder of images and an instances JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from simmim.data.samples import RawSample, printable
from simmim.data.sources._coco_faults import inspect
from simmim.data.sources._coco_json import ListedFiles, annotations_by_image, categories, check_fields, read_annotations
from simmim.data.sources._files import existing_folder

_FIELDS = {"images": ("file_name", "height", "width"), "annotations": ("bbox", "area")}


@dataclass(frozen=True)
class Coco:
    """The images that the JSON lists, each with its objects; images without objects are kept.

    An image with an object that no tool could read is quarantined with the reason; what COCO's tools tolerate is kept
    as it is and reported. Objects without a mask are kept too; detection refuses them (`simmim.data.requirements`).

    Args:
        images: folder of the split's images, such as train2017.
        annotations: file such as annotations/instances_train2017.json.
    """

    images: str
    annotations: str

    def classes(self) -> list[str]:
        """Category names in the order of their ids; `category_id` 1 to K in the samples counts along this list.

        Raises:
            ValueError: for two categories of one name, whose scores no table could tell apart.
        """
        found: dict[str, int] = {}
        for category in categories(read_annotations(self.annotations, "COCO instances"), self.annotations):
            name, number = category["name"], category["id"]
            if name in found:
                raise ValueError(
                    f"{self.annotations}: categories {found[name]} and {number} are both called '{printable(name)}'; "
                    "give one another name, or take out one that no object names"
                )
            found[name] = number
        return list(found)

    def samples(self) -> Iterator[RawSample]:
        """Images in the order of their ids; the id is the file name.

        Raises:
            ValueError: when an object names an image or a category that the JSON does not list, an id comes twice, or
                an entry lacks something.
        """
        folder = existing_folder(self.images, "COCO image folder")
        files = ListedFiles(folder)
        document = read_annotations(self.annotations, "COCO instances")
        check_fields(document, self.annotations, _FIELDS)
        objects = annotations_by_image(document, self.annotations)
        for image in sorted(document["images"], key=lambda image: image["id"]):
            content, fault = files.image(image["file_name"])
            image_px = int(image["height"]), int(image["width"])
            kept = [_kept(one) for one in objects[image["id"]]]
            flaw, notes = inspect(kept, image_px)
            annotation = json.dumps(kept, sort_keys=True).encode()
            name = printable(image["file_name"])
            origin = printable(folder / image["file_name"])
            yield RawSample(name, content, None, annotation, image_px, origin, fault or flaw, notes)

    def fingerprint(self) -> str:
        """Digest of the names, sizes and modification times of the JSON and of the images it lists."""
        files = ListedFiles(existing_folder(self.images, "COCO image folder"))
        return files.digest(read_annotations(self.annotations, "COCO instances"), self.annotations)


def _kept(one: dict[str, Any]) -> dict[str, Any]:
    """What is stored of an object, its category counted from 1."""
    own = {"category_id": one["category_id"] + 1, "iscrowd": one.get("iscrowd") or 0}
    mask = one.get("segmentation")
    return {key: one[key] for key in ("id", "bbox", "area")} | own | {"segmentation": [] if mask is None else mask}
