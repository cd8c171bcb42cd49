"""Annotation files in the COCO layout: images, categories and annotations that name them by id."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from simmim.data.sources._files import existing_file, read_bytes


def read_annotations(path: str, what: str) -> dict[str, Any]:
    """The document at `path`.

    Raises:
        ValueError: when it is missing, no JSON, or lacks images, annotations or categories.
    """
    file = existing_file(path, f"{what} annotation file")
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON ({error}); fetch it again") from error
    listed = document if isinstance(document, dict) else {}
    missing = {kind for kind in ("images", "annotations", "categories") if not isinstance(listed.get(kind), list)}
    if missing:
        raise ValueError(f"{path} is not a {what} annotation file: it lacks {', '.join(sorted(missing))}")
    return document


def check_fields(document: dict[str, Any], path: str, fields: Mapping[str, Sequence[str]]) -> None:
    """Check that every entry has a whole number as id, an own one, and the named fields beside it.

    Raises:
        ValueError: naming the first entry that does not.
    """
    for kind, names in fields.items():
        ids = set()
        for place, entry in enumerate(document[kind]):
            if missing := {"id", *names} - set(entry if isinstance(entry, dict) else ()):
                raise ValueError(f"{path}: {kind}[{place}] lacks {', '.join(sorted(missing))}")
            if not isinstance(entry["id"], int):
                raise ValueError(f"{path}: {kind}[{place}] has the id {entry['id']!r}, which is no whole number")
            if entry["id"] in ids:
                raise ValueError(f"{path}: the id {entry['id']} comes twice in {kind}")
            ids.add(entry["id"])


def categories(document: dict[str, Any], path: str) -> list[dict[str, Any]]:
    """Categories in the order of their ids."""
    check_fields(document, path, {"categories": ["name"]})
    return sorted(document["categories"], key=lambda category: category["id"])


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


def read_below(folder: Path, name: str) -> tuple[bytes, str]:
    """Content of a file of the folder and "", or b"" and why not: its name leads out, or it cannot be read."""
    path = folder / name
    if not path.is_relative_to(folder) or ".." in path.relative_to(folder).parts:
        return b"", "file name leads out of the image folder"
    return read_bytes(path)
