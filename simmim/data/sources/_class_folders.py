"""Labels from the names of folders: names of classes, or their numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from simmim.data.sources._files import normal_form


def label_of(parts: Sequence[str], classes: Sequence[str], numbered: bool) -> tuple[int | None, str]:
    """Label of an image whose path has these parts and "", or None and why there is none.

    Args:
        classes: names by label.
        numbered: the first part is the label itself, written without leading zeros.
    """
    if len(parts) == 1:
        return None, "lies beside the class folders, not in one"
    known = [str(label) for label in range(len(classes))] if numbered else classes
    name = normal_form(parts[0])
    if name not in known:
        return None, f"folder {parts[0]} is not in the class list"
    return known.index(name), ""


def class_names(folders: Iterable[str], where: str, numbered: bool) -> list[str]:
    """Classes from the names of folders (NFC), in alphabetical order.

    Raises:
        ValueError: without folders, and for numbered ones, whose alphabetical order is not that of the labels.
    """
    if numbered:
        raise ValueError(
            f"numbered_folders=true needs classes_file, the class names by number; {where} has numbers only"
        )
    names = sorted({normal_form(folder) for folder in folders})
    if not names:
        raise ValueError(
            f"{where} has no class folders: put the images of each class into a folder of its name, "
            "or set class_folders=false where no labels are needed"
        )
    return names
