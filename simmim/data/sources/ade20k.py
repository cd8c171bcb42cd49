"""ADE20K: images/{split} and annotations/{split} with the same file stems; label maps are PNG, 0 = ignore."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from simmim.data.array_files import PNG_DEPTH
from simmim.data.samples import RawSample, printable, read_bytes
from simmim.data.sources._files import (
    existing_folder,
    files_below,
    files_digest,
    lists_given,
    normal_form,
    read_class_list,
    walk,
)

_KINDS = "images", "annotations"
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
        """Images in the order of their paths; the id is the path below images/{split}.

        Raises:
            ValueError: when a folder or the class list is missing, or when there are no images.
        """
        root = existing_folder(self.root, "ADE20K folder")
        images = existing_folder(str(root / "images" / self.split), "ADE20K image folder")
        maps = existing_folder(str(root / "annotations" / self.split), "ADE20K annotation folder")
        classes = len(self.classes())
        unused: dict[str, list[Path]] = {}
        for path in walk(maps):
            unused.setdefault(_stem(path.relative_to(maps)), []).append(path)
        sample = None
        for path in walk(images):
            relative = path.relative_to(images)
            label_maps = unused.pop(_stem(relative), [maps / relative.with_suffix(".png")])
            yield (sample := _sample(relative, path, label_maps, classes))
        if sample is None:
            raise ValueError(f"ADE20K image folder {images} holds no images; check root and split")
        for path in (path for paths in unused.values() for path in paths):
            fault = "label map without an image"
            yield RawSample(printable(path.relative_to(maps)), b"", origin=printable(path), fault=fault)

    def fingerprint(self) -> str:
        """Digest of the names, sizes and modification times of images and label maps."""
        root = existing_folder(self.root, "ADE20K folder")
        folders = [existing_folder(str(root / kind / self.split), f"{kind} of ADE20K") for kind in _KINDS]
        files = itertools.chain.from_iterable(map(files_below, folders))
        lists = [(name, root / name) for name in _CLASS_LISTS]
        return files_digest([*files, *lists, *lists_given(classes_file=self.classes_file)])


def _stem(relative: Path) -> str:
    """What an image and its label map have in common."""
    return normal_form(printable(relative.with_suffix("")))


def _sample(relative: Path, path: Path, label_maps: list[Path], classes: int) -> RawSample:
    annotation, unreadable = read_bytes(label_maps[0])
    map_px, wrong = (None, f"label map {unreadable}") if unreadable else _check_map(annotation, classes)
    if len(label_maps) > 1:
        wrong = f"image with several label maps: {', '.join(printable(path.name) for path in label_maps)}"
    return RawSample(printable(relative), path, None, annotation, map_px, printable(path), wrong)


def _check_map(content: bytes, classes: int) -> tuple[tuple[int, int] | None, str]:
    """Height and width of a sound label map, or why it is none."""
    try:
        Image.open(io.BytesIO(content), formats=("PNG",)).verify()
        label_map = Image.open(io.BytesIO(content), formats=("PNG",))
        values = np.asarray(label_map)
    except UnidentifiedImageError:
        return None, "label map is not a PNG; other formats may change class numbers"
    except Exception as error:  # decoders of damaged files raise nearly anything
        return None, f"label map is a broken PNG: {type(error).__name__}: {error}"
    mode, depth = label_map.mode, content[PNG_DEPTH]
    if not (mode == "P" or (mode == "L" and depth == 8)):  # Pillow stretches grey of fewer bits to 0 to 255
        return None, f"label map is a {depth}-bit PNG of mode {mode}; 8-bit grey or a palette is allowed"
    if values.max() > classes:
        return None, f"label map has values up to {values.max()}; 0 (ignored) to {classes} are allowed"
    if not values.any():
        return None, "label map has no labelled pixel"
    return values.shape, ""
