"""Small pictures as a user may have them: smooth colours that differ, so that there is something to learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def write_photos(folder: Path, count: int, side_px: int = 40, hue: int = 0) -> list[str]:
    """Write so many PNGs; returns their names. Those of one hue look alike."""
    folder.mkdir(parents=True, exist_ok=True)
    rows, columns = np.mgrid[0:side_px, 0:side_px] / side_px
    for number in range(count):
        draw = np.random.default_rng((hue, number))
        (up, along), base = draw.uniform(-120, 120, (2, 3)), draw.uniform(40, 80, 3) + 120 * (np.arange(3) == hue % 3)
        pixels = base + rows[..., None] * up + columns[..., None] * along
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{number}.png")
    return [f"{number}.png" for number in range(count)]
