"""A folder of image files, nested to any depth, with or without one sub-folder per class."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from simmim.data.samples import RawSample, printable
from simmim.data.sources._class_folders import class_names, label_of, labels_by_folder
from simmim.data.sources._files import (
    existing_folder,
    files_below,
    files_digest,
    is_folder,
    is_hidden,
    lists_given,
    read_class_list,
    walk,
)


@dataclass(frozen=True)
class ImageFolder:
    """Every file below a folder that is not hidden, links followed; what is no image is quarantined by the packer.

    Args:
        root: the folder.
        class_folders: whether the first folder below `root` names the class of what it holds.
        numbered_folders: class folders are named 0, 1, ... by the place of their class in `classes_file`, as those of
            ImageNet-V2, whose alphabetical order (0, 1, 10, 100) is another.
        classes_file: text file with one class name per line, in label order. Without it the class folders are taken
            in alphabetical order, so the splits of one data set must hold the same folders.
    """

    root: str
    class_folders: bool = False
    classes_file: str = ""
    numbered_folders: bool = False

    def classes(self) -> list[str]:
        """Class names by label index; [] without class folders."""
        if not self.class_folders:
            return []
        if self.classes_file:
            return read_class_list(self.classes_file)
        folder = existing_folder(self.root, "image folder")
        entries = [entry for entry in os.scandir(folder) if is_folder(entry) and not is_hidden(entry.name)]
        names = [printable(entry.name) for entry in entries]
        return class_names(names, str(folder), self.numbered_folders)

    def samples(self) -> Iterator[RawSample]:
        """Files in the order of their paths; the id is the path below `root`."""
        folder = existing_folder(self.root, "image folder")
        labels = labels_by_folder(self.classes(), self.numbered_folders)
        for path in walk(folder):
            relative = path.relative_to(folder)
            label, fault = self._label([printable(part) for part in relative.parts], labels)
            yield RawSample(printable(relative), path, label, origin=printable(path), fault=fault)

    def fingerprint(self) -> str:
        """Digest of the files' names, sizes and modification times."""
        files = files_below(existing_folder(self.root, "image folder"))
        return files_digest([*files, *lists_given(classes_file=self.classes_file)])

    def _label(self, parts: list[str], labels: dict[str, int]) -> tuple[int | None, str]:
        return label_of(parts, labels) if self.class_folders else (None, "")
