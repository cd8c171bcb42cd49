"""COCO: a folder of images and an instances JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simmim.data.samples import RawSample, printable
from simmim.data.sources._files import existing_file, existing_folder, read_bytes

_KEYS = "id", "category_id", "bbox", "area", "iscrowd", "segmentation"


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
        document = _read(self.annotations)
        return [category["name"] for category in _categories(document, self.annotations)]

    def samples(self) -> Iterator[RawSample]:
        """Images in the order of their ids; the id is the file name.

        Raises:
            ValueError: when an object names an image or a category that the JSON does not list.
        """
        folder = existing_folder(self.images, "COCO image folder")
        document = _read(self.annotations)
        objects = _objects_by_image(document, self.annotations)
        for image in sorted(document["images"], key=lambda image: image["id"]):
            path = folder / image["file_name"]
            content, fault = _read_below(folder, path)
            annotation = json.dumps(objects[image["id"]], sort_keys=True).encode()
            image_px = int(image["height"]), int(image["width"])
            name = printable(image["file_name"])
            yield RawSample(name, content, None, annotation, image_px, origin=printable(path), fault=fault)


def _read(path: str) -> dict[str, Any]:
    file = existing_file(path, "COCO annotation file")
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON ({error}); fetch it again") from error
    missing = {"images", "annotations", "categories"} - set(document if isinstance(document, dict) else ())
    if missing:
        raise ValueError(f"{path} is not a COCO instances file: it lacks {', '.join(sorted(missing))}")
    return document


def _categories(document: dict[str, Any], path: str) -> list[dict[str, Any]]:
    categories = sorted(document["categories"], key=lambda category: category["id"])
    if len({category["id"] for category in categories}) < len(categories):
        raise ValueError(f"{path} lists a category id twice")
    return categories


def _objects_by_image(document: dict[str, Any], path: str) -> dict[int, list[dict[str, Any]]]:
    """Objects of every listed image, sorted by id, with categories renumbered 1 to K."""
    number = {category["id"]: n for n, category in enumerate(_categories(document, path), start=1)}
    objects: dict[int, list] = {image["id"]: [] for image in document["images"]}
    for one in document["annotations"]:
        if one["image_id"] not in objects:
            raise ValueError(f"{path}: annotation {one['id']} names image {one['image_id']}, which is not listed")
        if one["category_id"] not in number:
            raise ValueError(f"{path}: annotation {one['id']} names category {one['category_id']}, which is not listed")
        kept = {key: one[key] for key in _KEYS}
        objects[one["image_id"]].append(kept | {"category_id": number[one["category_id"]]})
    return {image: sorted(found, key=lambda one: one["id"]) for image, found in objects.items()}


def _read_below(folder: Path, path: Path) -> tuple[bytes, str]:
    """A file's content, unless its name leads out of the folder."""
    if ".." in path.relative_to(folder).parts if path.is_relative_to(folder) else True:
        return b"", "file name leads out of the image folder"
    return read_bytes(path)
