"""Annotation files in the COCO layout: images, categories and annotations that name them by id."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

from simmim.data.array_files import MAX_PIXELS
from simmim.data.sources._files import existing_file, files_digest, normal_form
from simmim.storage.reading import read_json


def read_annotations(path: str, what: str) -> dict[str, Any]:
    """The document at `path`.

    Raises:
        ValueError: when it is missing, no JSON, or lacks images, annotations or categories.
    """
    document = read_json(existing_file(path, f"{what} annotation file"), "valid JSON", "fetch it again")
    listed = document if isinstance(document, dict) else {}
    missing = {kind for kind in ("images", "annotations", "categories") if not isinstance(listed.get(kind), list)}
    if missing:
        raise ValueError(f"{path} is not a {what} annotation file: it lacks {', '.join(sorted(missing))}")
    return document


def check_fields(document: dict[str, Any], path: str, fields: Mapping[str, Sequence[str]]) -> None:
    """Check that every entry has a unique whole number as id, and the named fields with values of their kind.

    Raises:
        ValueError: naming the first entry that does not.
    """
    for kind, names in fields.items():
        ids = set()
        for place, entry in enumerate(document[kind]):
            if missing := {"id", *names} - set(entry if isinstance(entry, dict) else ()):
                raise ValueError(f"{path}: {kind}[{place}] lacks {', '.join(sorted(missing))}")
            for name in ("id", *names):
                if name in _ALLOWED and not _ALLOWED[name][0](entry[name]):
                    wanted = _ALLOWED[name][1]
                    raise ValueError(f"{path}: {kind}[{place}] has the {name} {entry[name]!r}, which is not {wanted}")
            if entry["id"] in ids:
                raise ValueError(f"{path}: the id {entry['id']} comes twice in {kind}")
            ids.add(entry["id"])


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_side(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and 1 <= value <= MAX_PIXELS and value == value // 1


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and value != "" and "\0" not in value


_ALLOWED: dict[str, tuple[Callable[[Any], bool], str]] = {
    **dict.fromkeys(("id", "image_id", "category_id"), (_is_whole, "a whole number")),
    **dict.fromkeys(("height", "width"), (_is_side, "a number of pixels; give the size of the image file")),
    **dict.fromkeys(("name", "file_name"), (_is_name, "a name")),
}


def categories(document: dict[str, Any], path: str) -> list[dict[str, Any]]:
    """Categories in the order of their ids, their names in NFC."""
    check_fields(document, path, {"categories": ["name"]})
    named = [category | {"name": normal_form(category["name"])} for category in document["categories"]]
    return sorted(named, key=lambda category: category["id"])


def annotations_by_image(document: dict[str, Any], path: str) -> dict[int, list[dict[str, Any]]]:
    """Annotations of every listed image, in the order of their ids, with `category_id` renumbered from 0."""
    check_fields(document, path, {"images": ["file_name"], "annotations": ["image_id", "category_id"]})
    number = {category["id"]: n for n, category in enumerate(categories(document, path))}
    found: dict[int, list] = {image["id"]: [] for image in document["images"]}
    for one in document["annotations"]:
        if one["image_id"] not in found:
            raise ValueError(f"{path}: annotation {one['id']} names image {one['image_id']}, which is not listed")
        if one["category_id"] not in number:
            raise ValueError(f"{path}: annotation {one['id']} names category {one['category_id']}, which is not listed")
        found[one["image_id"]].append(one | {"category_id": number[one["category_id"]]})
    return {image: sorted(annotations, key=lambda one: one["id"]) for image, annotations in found.items()}


class ListedFiles:
    """The files below a folder that a JSON lists by name, also where disk and JSON differ in Unicode form.

    Args:
        folder: where the names start from.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._names: dict[Path, dict[str, str]] = {}

    def path(self, name: str) -> Path:
        """Where the file lies; the name as it is listed when there is no such file."""
        path = self._folder / name
        if name.isascii() or os.path.lexists(path):
            return path
        found = self._folder
        for part in PurePath(name).parts:
            found = found / self._on_disk(found).get(normal_form(part), part)
        return found

    def image(self, name: str) -> tuple[Path | bytes, str]:
        """The file and "", or b"" and why there is none: the name leads out of the folder."""
        path = self._folder / name
        if not path.is_relative_to(self._folder) or ".." in path.relative_to(self._folder).parts:
            return b"", "file name leads out of the image folder"
        return self.path(name), ""

    def digest(self, document: dict[str, Any], annotations: str) -> str:
        """Digest of the names, sizes and times of the annotation file and of the images that it lists."""
        names = sorted(str(image.get("file_name")) for image in document["images"] if isinstance(image, dict))
        return files_digest([("annotations", Path(annotations)), *((name, self.path(name)) for name in names)])

    def _on_disk(self, folder: Path) -> dict[str, str]:
        """Names in a folder by their normal form."""
        if folder not in self._names:
            names = os.listdir(folder) if folder.is_dir() else []
            self._names[folder] = {normal_form(name): name for name in names}
        return self._names[folder]
