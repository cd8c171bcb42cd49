"""Labels from the names of folders: names of classes, or their numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from simmim.data.sources._files import normal_form


def labels_by_folder(classes: Sequence[str], numbered: bool) -> dict[str, int]:
    """The label that the name of a folder stands for.

    Args:
        classes: names by label.
        numbered: a folder is called by the label itself, written without leading zeros.
    """
    return {str(label) if numbered else name: label for label, name in enumerate(classes)}


def label_of(parts: Sequence[str], labels: Mapping[str, int]) -> tuple[int | None, str]:
    """Label of an image whose path has these parts and "", or None and why there is none.

    Args:
        labels: as `labels_by_folder` has them.
    """
    if len(parts) == 1:
        return None, "lies beside the class folders, not in one"
    name = normal_form(parts[0])
    if name not in labels:
        return None, f"folder {parts[0]} is not in the class list"
    return labels[name], ""


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
