"""Demo tiles for semantic segmentation in the folder layout of ADE20K: sea, lake and the five Köppen climate groups."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from simmim.demo_data.earth import LAKE, SEA, Earth
from simmim.demo_data.tiles import TRAIN, VAL, Bands, cut, evenly, save, tile_name
from simmim.storage.files import write_text

CLASSES = ["sea", "lake", "A tropical", "B dry", "C temperate", "D continental", "E polar"]
_GROUPS = "ABCDE"
_FOLDERS = {TRAIN: "training", VAL: "validation"}
_LEAST_SHARE = 0.03  # of the tile, for a class to count as present


def label_map(earth: Earth) -> np.ndarray:
    """Class of every pixel, uint8 [h, w]: 1 to 7 in the order of CLASSES, 0 where land has no climate zone."""
    group_of_zone = np.array([0] + [3 + _GROUPS.index(name[0]) for name in earth.zone_names], np.uint8)
    labels = group_of_zone[earth.zone]
    labels[earth.surface == SEA] = 1 + CLASSES.index("sea")
    labels[earth.surface == LAKE] = 1 + CLASSES.index("lake")
    return labels


def write(earth: Earth, bands: Bands, tile_px: int, at_most: dict[str, int | None], out: Path) -> dict:
    """Write images, annotations and the class list; returns tiles per split and pixels per class."""
    labels = label_map(earth)
    write_text(out / "classes.txt", "\n".join(CLASSES) + "\n")
    counts = {}
    for split, name in _FOLDERS.items():
        corners = _varied(labels, bands.corners(split, tile_px, tile_px // 4), tile_px)
        corners = evenly(corners, at_most.get(split))
        for kind, raster in (("images", earth.photo), ("annotations", labels)):
            folder = out / kind / name
            folder.mkdir(parents=True, exist_ok=True)
            for corner in corners:
                save(cut(raster, corner, tile_px), folder / f"{tile_name(corner)}.png")
        pixels = sum(np.bincount(cut(labels, corner, tile_px).ravel(), minlength=8) for corner in corners)
        counts[split] = {"tiles": len(corners), "pixels": dict(zip(["unlabelled", *CLASSES], map(int, pixels)))}
    return counts


def _varied(labels: np.ndarray, corners: np.ndarray, tile_px: int) -> np.ndarray:
    """Corners of tiles that show at least two classes."""
    shares = [np.bincount(cut(labels, corner, tile_px).ravel(), minlength=8)[1:] / tile_px**2 for corner in corners]
    return corners[(np.array(shares) >= _LEAST_SHARE).sum(axis=1) >= 2]
