"""A folder of image files, nested as deep as one likes, with or without one sub-folder per class."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from simmim.data.samples import RawSample, printable
from simmim.data.sources._files import existing_folder, read_bytes, read_class_list, walk


@dataclass(frozen=True)
class ImageFolder:
    """Every file below a folder that is not hidden; what turns out not to be an image is quarantined by the packer.

    Args:
        root: the folder.
        class_folders: whether the first folder below `root` names the class of what it holds.
        classes_file: text file with one class name per line, in label order. Without it the names of the class
            folders in alphabetical order count, so the splits of one data set must hold the same folders.
    """

    root: str
    class_folders: bool = False
    classes_file: str = ""

    def classes(self) -> list[str]:
        """Class names by label index; [] without class folders."""
        if not self.class_folders:
            return []
        if self.classes_file:
            return read_class_list(self.classes_file)
        folder = existing_folder(self.root, "image folder")
        names = sorted(printable(entry.name) for entry in folder.iterdir() if entry.is_dir() and entry.name[0] != ".")
        if not names:
            raise ValueError(f"{folder} has no class folders; set class_folders=false for a folder without labels")
        return names

    def samples(self) -> Iterator[RawSample]:
        """Files in the order of their paths; the id is the path below `root`."""
        folder = existing_folder(self.root, "image folder")
        labels = {name: label for label, name in enumerate(self.classes())}
        for path in walk(folder):
            relative = path.relative_to(folder)
            label, fault = self._label(relative.parts, labels)
            image, unreadable = read_bytes(path)
            yield RawSample(printable(relative), image, label, origin=printable(path), fault=unreadable or fault)

    def _label(self, parts: tuple[str, ...], labels: dict[str, int]) -> tuple[int | None, str]:
        if not self.class_folders:
            return None, ""
        if len(parts) == 1:
            return None, "lies beside the class folders, not in one"
        label = labels.get(printable(parts[0]))
        return label, "" if label is not None else f"folder {printable(parts[0])} is not in the class list"
