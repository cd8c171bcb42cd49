"""Demo tiles as genuine iNaturalist JSON: a long-tailed set of Köppen climate zones, rare ones included."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from simmim.demo_data.climate import class_counts, write_tiles
from simmim.demo_data.earth import Earth
from simmim.demo_data.tiles import tile_name
from simmim.storage.files import write_text

_IMAGES = "train_val"  # one folder for both splits, as in the original


def write(earth: Earth, classes: dict[str, dict[str, np.ndarray]], tile_px: int, out: Path) -> dict:
    """Write images and the JSON of both splits; returns tiles per class by split.

    Args:
        classes: corners by split and class, the same classes in both splits.
    """
    for split, by_name in classes.items():
        for name, corners in by_name.items():
            write_tiles(earth, corners, tile_px, out / _IMAGES / name)
        write_text(out / f"{split}.json", json.dumps(_document(by_name, tile_px, split)))
    return class_counts(classes)


def _document(by_name: dict[str, np.ndarray], tile_px: int, split: str) -> dict:
    labelled = [(name, number, corner) for number, (name, corners) in enumerate(by_name.items()) for corner in corners]
    images = [
        {"id": n, "file_name": f"{_IMAGES}/{name}/{tile_name(corner)}.png", "height": tile_px, "width": tile_px}
        | {"license": 0, "rights_holder": ""}
        for n, (name, _, corner) in enumerate(labelled)
    ]
    return {
        "info": {"description": f"Climate zones on NASA Blue Marble, {split}", "version": "1.0", "year": 2004},
        "licenses": [{"id": 0, "name": "see data_card.json", "url": "https://visibleearth.nasa.gov/image-use-policy"}],
        "categories": [{"id": n, "name": name, "supercategory": name[0]} for n, name in enumerate(by_name)],
        "images": images,
        "annotations": [{"id": n, "image_id": n, "category_id": label} for n, (_, label, _) in enumerate(labelled)],
    }
