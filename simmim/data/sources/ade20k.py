"""ADE20K: images/{split} and annotations/{split} with the same file stems; label maps are PNG, 0 = ignore."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from simmim.data.samples import RawSample, printable
from simmim.data.sources._files import existing_folder, read_bytes, read_class_list, walk

_CLASS_LISTS = "classes.txt", "objectInfo150.txt"


@dataclass(frozen=True)
class Ade20k:
    """One split of a data set in ADE20K's layout (ADEChallengeData2016).

    Args:
        root: folder that holds images/ and annotations/.
        split: such as training or validation.
        classes_file: class list, one name per line or ADE20K's objectInfo150.txt; empty for the one in `root`.
    """

    root: str
    split: str
    classes_file: str = ""

    def classes(self) -> list[str]:
        """Class names; value v of a label map is class v - 1 of this list."""
        if self.classes_file:
            return read_class_list(self.classes_file)
        root = existing_folder(self.root, "ADE20K folder")
        for name in _CLASS_LISTS:
            if (root / name).is_file():
                return read_class_list(root / name)
        raise ValueError(f"{root} holds neither {' nor '.join(_CLASS_LISTS)}; give classes_file")

    def samples(self) -> Iterator[RawSample]:
        """Images in the order of their paths; the id is the path below images/{split}."""
        root = existing_folder(self.root, "ADE20K folder")
        images = existing_folder(str(root / "images" / self.split), "ADE20K image folder")
        maps = existing_folder(str(root / "annotations" / self.split), "ADE20K annotation folder")
        classes = len(self.classes())
        unused = {path.relative_to(maps).with_suffix(""): path for path in walk(maps)}
        for path in walk(images):
            relative = path.relative_to(images)
            label_map = unused.pop(relative.with_suffix(""), maps / relative.with_suffix(".png"))
            yield _sample(relative, path, label_map, classes)
        for relative, path in unused.items():
            fault = "label map without an image"
            yield RawSample(f"{printable(relative)}.png", b"", origin=printable(path), fault=fault)


def _sample(relative: Path, path: Path, label_map: Path, classes: int) -> RawSample:
    image, fault = read_bytes(path)
    annotation, unreadable = read_bytes(label_map)
    map_px, wrong = (None, f"label map {unreadable}") if unreadable else _check_map(annotation, classes)
    return RawSample(printable(relative), image, None, annotation, map_px, printable(path), fault or wrong)


def _check_map(content: bytes, classes: int) -> tuple[tuple[int, int] | None, str]:
    """Height and width of a sound label map, or why it is none."""
    try:
        with Image.open(io.BytesIO(content), formats=("PNG",)) as label_map:
            mode, values = label_map.mode, np.asarray(label_map)
    except Exception as error:  # decoders of damaged files raise nearly anything
        return None, f"label map is not a readable PNG: {type(error).__name__}: {error}"
    if mode not in ("L", "P") or values.max(initial=0) > classes:
        return (
            None,
            f"label map has mode {mode} and values up to {values.max()}; 8-bit values 0 to {classes} are allowed",
        )
    return values.shape, ""
