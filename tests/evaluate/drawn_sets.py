"""Made-up images of discs and bars in COCO and ADE20K form, packed."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from simmim.data.packing import pack
from simmim.data.samples import RawSample
from simmim.data.shards import Shards

HEADER = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
CLASSES = ["disc", "bar"]
COLOURS = {1: (230, 60, 40), 2: (40, 80, 230)}


class Drawn:
    """A source of made-up samples."""

    def __init__(self, samples: list[RawSample]) -> None:
        self._samples = samples

    def samples(self):
        yield from self._samples

    def classes(self) -> list[str]:
        return CLASSES

    def fingerprint(self):
        return ""


def draw(seed: int, height: int = 64, width: int = 64) -> tuple[np.ndarray, list[tuple[int, np.ndarray]]]:
    """A noisy image [h, w, 3] with one disc and one bar, and (class, mask [h, w]) of each."""
    random = np.random.default_rng(seed)
    image = random.integers(90, 140, (height, width, 3), dtype=np.uint8)
    rows, columns = np.mgrid[:height, :width]
    radius = random.integers(8, 13)
    row, column = random.integers(14, height - 14), random.integers(14, width // 2 - 4)
    disc = (rows - row) ** 2 + (columns - column) ** 2 < radius**2
    top, left = random.integers(2, height - 34), random.integers(width // 2 + 10, width - 14)
    bar = (rows >= top) & (rows < top + 30) & (columns >= left) & (columns < left + 11)
    objects = [(1, disc), (2, bar)]
    for number, mask in objects:
        image[mask] = COLOURS[number]
    return image, objects


def coco_object(number: int, category: int, mask: np.ndarray, crowd: int = 0) -> dict:
    """An object with an uncompressed run-length mask, as COCO writes crowd regions."""
    flat = mask.T.reshape(-1).astype(np.int8)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flat, [0]])))
    runs = np.diff(np.concatenate([[0], edges, [flat.size]]))
    rows, columns = np.nonzero(mask)
    box = [columns.min(), rows.min(), columns.max() - columns.min() + 1, rows.max() - rows.min() + 1]
    return {
        "id": number,
        "category_id": category,
        "iscrowd": crowd,
        "bbox": [float(side) for side in box],
        "area": float(mask.sum()),
        "segmentation": {"size": list(mask.shape), "counts": [int(run) for run in runs]},
    }


def png(pixels: np.ndarray) -> bytes:
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, "PNG")
    return encoded.getvalue()


def packed(folder, samples: list[RawSample]) -> Shards:
    pack(Drawn(samples), folder, codec="png", shard_samples=8, short_side_px=None)
    return Shards(folder)
