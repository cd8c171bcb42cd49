"""Demo tiles for instance segmentation as genuine COCO JSON: islands and lakes from the land mask."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from faster_coco_eval.core import mask as coco_mask
from scipy import ndimage

from simmim.demo_data.earth import LAKE, LAND, Earth
from simmim.demo_data.tiles import TRAIN, VAL, Bands, cut, evenly, save, tile_name
from simmim.storage.files import write_text

CATEGORIES = {"island": LAND, "lake": LAKE}
_LEAST_SIDE_SHARE = 1 / 16  # an object's area is at least that of a square with this share of the tile's side
_LEAST_VISIBLE = 0.5  # of an object; one with less in the tile is marked as a crowd, which training and scoring ignore


def write(earth: Earth, bands: Bands, tile_px: int, at_most: dict[str, int | None], out: Path) -> dict:
    """Write images and instances JSON of both splits; returns images and objects per category by split."""
    areas = [_Areas(earth, surface, tile_px) for surface in CATEGORIES.values()]
    counts = {}
    for split in (TRAIN, VAL):
        corners = bands.corners(split, tile_px, tile_px // 4)
        found = [(corner, _objects(areas, corner, tile_px)) for corner in corners]
        found = [(corner, objects) for corner, objects in found if not all(one["iscrowd"] for one in objects)]
        chosen = [found[n] for n in evenly(np.arange(len(found)), at_most.get(split))]
        counts[split] = _write_split(earth, chosen, tile_px, split, out)
    return counts


class _Areas:
    """Connected areas of one surface kind that fit in a tile."""

    def __init__(self, earth: Earth, surface: int, tile_px: int) -> None:
        self.number, _ = ndimage.label(earth.surface == surface, structure=np.ones((3, 3)))  # [h, w], 0 = none
        self.whole_px = np.bincount(self.number.ravel())
        sides = [[span.stop - span.start for span in box] for box in ndimage.find_objects(self.number)]
        fits = np.concatenate([[False], np.max(sides, axis=1) <= tile_px])
        self.is_object = fits & (self.whole_px >= (_LEAST_SIDE_SHARE * tile_px) ** 2)


def _objects(areas: list[_Areas], corner: np.ndarray, tile_px: int) -> list[dict]:
    """COCO objects of one tile, without ids."""
    least_px = (_LEAST_SIDE_SHARE * tile_px) ** 2
    objects = []
    for category, area in enumerate(areas, start=1):
        tile = cut(area.number, corner, tile_px)
        for number in np.unique(tile[area.is_object[tile]]):
            visible = tile == number
            crowd = visible.sum() < max(least_px, _LEAST_VISIBLE * area.whole_px[number])
            objects.append(_object(visible, category, bool(crowd)))
    return objects


def _object(visible: np.ndarray, category: int, crowd: bool) -> dict:
    rle = coco_mask.encode(visible.astype(np.uint8))
    return {
        "category_id": category,
        "iscrowd": int(crowd),
        "area": float(coco_mask.area(rle)),
        "bbox": [float(edge) for edge in coco_mask.toBbox(rle)],  # x, y, width, height
        "segmentation": {"size": [int(side) for side in rle["size"]], "counts": rle["counts"].decode("ascii")},
    }


def _write_split(earth: Earth, tiles: list[tuple[np.ndarray, list[dict]]], tile_px: int, split: str, out: Path) -> dict:
    (out / split).mkdir(parents=True, exist_ok=True)
    images, annotations = [], []
    for image_id, (corner, objects) in enumerate(tiles, start=1):
        file_name = f"{tile_name(corner)}.png"
        save(cut(earth.photo, corner, tile_px), out / split / file_name)
        images.append({"id": image_id, "file_name": file_name, "height": tile_px, "width": tile_px, "license": 1})
        for one in objects:
            annotations.append({"id": len(annotations) + 1, "image_id": image_id} | one)
    document = {
        "info": {"description": f"Islands and lakes on NASA Blue Marble, {split}", "version": "1.0", "year": 2004},
        "licenses": [{"id": 1, "name": "see data_card.json", "url": "https://visibleearth.nasa.gov/image-use-policy"}],
        "categories": [{"id": n, "name": name, "supercategory": "earth"} for n, name in enumerate(CATEGORIES, start=1)],
        "images": images,
        "annotations": annotations,
    }
    write_text(out / "annotations" / f"instances_{split}.json", json.dumps(document))
    wanted = [one["category_id"] for one in annotations if not one["iscrowd"]]
    by_category = {name: wanted.count(n) for n, name in enumerate(CATEGORIES, start=1)}
    return {"images": len(images), "objects": by_category, "crowds": len(annotations) - len(wanted)}
