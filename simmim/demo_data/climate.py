"""Demo tiles for pre-training (no labels) and classification (the Köppen zone that most of a tile's land has)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from simmim.demo_data.earth import LAND, SEA, Earth
from simmim.demo_data.tiles import TRAIN, VAL, Bands, cut, evenly, save, tile_counts, tile_name

_LAND_SHARE = 0.6  # of a classification tile
_ZONE_SHARE = 0.5  # of its land
_COAST_SHARE = 0.1  # of a pre-training tile is not sea
_FLAT = 4.0  # grey-level deviation below which a tile shows nothing but ice or fog
_LEAST_TILES = {TRAIN: 100, VAL: 40}  # a zone with fewer is no class
_LEAST_RARE_TILES = {TRAIN: 5, VAL: 5}  # the same where rare zones are kept


def pretrain_corners(earth: Earth, bands: Bands, split: str, tile_px: int, stride_px: int) -> np.ndarray:
    """Corners of tiles with some land or lake and some contrast, int [n, 2]."""
    corners = bands.corners(split, tile_px, stride_px)
    corners = corners[tile_counts(earth.surface != SEA, corners, tile_px) >= _COAST_SHARE * tile_px**2]
    contrast = np.array([cut(earth.photo[..., 1], corner, tile_px).std() for corner in corners])
    return corners[contrast >= _FLAT]


def zones_of(earth: Earth, corners: np.ndarray, tile_px: int) -> np.ndarray:
    """The dominant zone of each tile, int [n]: 1 to k, 0 where there is too little land or no zone has most of it."""
    land = tile_counts(earth.surface == LAND, corners, tile_px)
    zone_on_land = np.where(earth.surface == LAND, earth.zone, 0)
    dominant = np.zeros(len(corners), np.int64)
    for n in np.flatnonzero(land >= _LAND_SHARE * tile_px**2):
        pixels = np.bincount(cut(zone_on_land, corners[n], tile_px).ravel(), minlength=2)
        first = 1 + pixels[1:].argmax()
        dominant[n] = first if pixels[first] > _ZONE_SHARE * land[n] else 0
    return dominant


def zone_corners(earth: Earth, corners: np.ndarray, tile_px: int) -> dict[str, np.ndarray]:
    """Those of the corners [n, 2] whose tiles have a dominant zone, by zone."""
    zones = zones_of(earth, corners, tile_px)
    return {name: corners[zones == number] for number, name in enumerate(earth.zone_names, start=1)}


def class_corners(
    found: dict[str, dict[str, np.ndarray]], per_class: dict[str, int | None], rare: bool = False
) -> dict[str, dict[str, np.ndarray]]:
    """Of the zones that have enough tiles in both splits, at most `per_class[split]` of each.

    Args:
        found: corners by split and zone.
        rare: keep zones with only a few tiles.
    """
    least = _LEAST_RARE_TILES if rare else _LEAST_TILES
    names = sorted(name for name in found[TRAIN] if all(len(found[split][name]) >= least[split] for split in found))
    return {split: {name: evenly(found[split][name], per_class.get(split)) for name in names} for split in found}


def class_counts(classes: dict[str, dict[str, np.ndarray]]) -> dict[str, dict[str, int]]:
    """Tiles per class by split, for the data card."""
    return {split: {name: len(corners) for name, corners in by_name.items()} for split, by_name in classes.items()}


def write_tiles(earth: Earth, corners: np.ndarray, tile_px: int, folder: Path) -> None:
    """Write the photo's tiles as PNG files named by where they lie."""
    folder.mkdir(parents=True, exist_ok=True)
    for corner in corners:
        save(cut(earth.photo, corner, tile_px), folder / f"{tile_name(corner)}.png")
