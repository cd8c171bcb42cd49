"""Images of squares in four colours."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from simmim.data.samples import RawSample

COLOURS = np.array([[250, 10, 10], [10, 240, 20], [20, 20, 230], [240, 240, 240]], dtype=np.uint8)


class Blocks:
    """Twelve images of 4 x 4 squares, each in one of four colours."""

    def classes(self):
        return []

    def fingerprint(self):
        return ""

    def samples(self):
        for i in range(12):
            chosen = np.random.default_rng(i).integers(len(COLOURS), size=(4, 4))
            pixels = COLOURS[chosen].repeat(8, 0).repeat(8, 1)  # [32, 32, 3]
            stream = io.BytesIO()
            Image.fromarray(pixels).save(stream, "png")
            yield RawSample(f"{i}.png", stream.getvalue(), None)
