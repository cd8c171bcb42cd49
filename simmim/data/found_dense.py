"""What lies at the path that a user names for detection or segmentation: a data set in COCO's or ADE20K's layout."""

from __future__ import annotations

import itertools
import json
import mmap
import os
import re
from pathlib import Path

from simmim.data.found import TRAIN_NAMES, VAL_NAMES, Found, named, visible
from simmim.storage.reading import existing

_FILE_NAME = re.compile(rb'"file_name"\s*:\s*("(?:[^"\\]|\\.)*")')
_TRIED = 20  # images of a JSON, one of which lies where all lie


def objects_at(path: Path | str) -> Found:
    """A folder in COCO's layout: annotations/instances_{train,val}*.json and the folders of images.

    Or a folder a split, with its images and one JSON among them, as some annotation tools export it.
    """
    root = existing(path, "--data")
    files = sorted(visible([*root.glob("annotations/*.json"), *root.glob("*.json")]))
    train, val = named(files, TRAIN_NAMES) or (files[0] if len(files) == 1 else None), named(files, VAL_NAMES)
    if not files:
        folders = [each for each in visible(root.glob("*")) if each.is_dir()]
        train, val = (_only_json(named(folders, names)) for names in (TRAIN_NAMES, VAL_NAMES))
    if train is None:
        raise ValueError(
            f"{root} is not in COCO's layout: it needs annotations/instances_train.json beside its images, or one JSON "
            "in each of train/ and val/"
        )
    return Found(root, _coco(root, train), _coco(root, val) if val else None, "COCO annotations")


def label_maps_at(path: Path | str) -> Found:
    """A folder in ADE20K's layout: images/training, annotations/training, and classes.txt."""
    root = existing(path, "--data")
    folders = [each for each in visible(root.glob("images/*")) if each.is_dir()]
    labelled = [each for each in folders if (root / "annotations" / each.name).is_dir()]
    train, held, val = named(folders, TRAIN_NAMES), named(folders, VAL_NAMES), named(labelled, VAL_NAMES)
    if train is None:
        raise ValueError(f"{root} is not in ADE20K's layout: it needs images/training and annotations/training")
    left = f" ({held.name} left out: there is no annotations/{held.name})" if held and not val else ""
    rows = [("ade20k", f"root=$data split={split.name}") if split else None for split in (train, val)]
    return Found(root, rows[0], rows[1], f"ADE20K label maps{left}")


def _only_json(folder: Path | None) -> Path | None:
    files = visible(folder.glob("*.json")) if folder else []
    return files[0] if len(files) == 1 else None


def _coco(root: Path, annotations: Path) -> tuple[str, str]:
    """The row of one split; its images lie where the names in its JSON lead, else in the folder called as its file."""
    name = annotations.stem.removeprefix("instances_")
    split = name.rpartition("_")[2]  # of person_keypoints_train2017
    names = name, f"images/{name}", split, f"images/{split}", "images", "", str(annotations.parent.relative_to(root))
    folders, listed = [each for each in names if (root / each).is_dir()], _first_listed(annotations)
    holding = (each for each in folders if any(os.path.isfile(root / each / image) for image in listed))
    folder = f"$data/{next(holding, folders[0])}".rstrip("/")
    return "coco", f"images={folder} annotations=$data/{annotations.relative_to(root)}"


def _first_listed(annotations: Path) -> list[str]:
    """File names of some images, found without reading all of a JSON that may fill memory; none of a damaged one."""
    with annotations.open("rb") as file:
        if not annotations.stat().st_size:
            return []
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            found = [each[1] for each in itertools.islice(_FILE_NAME.finditer(content), _TRIED)]
    try:
        return [json.loads(each) for each in found]
    except ValueError:
        return []
