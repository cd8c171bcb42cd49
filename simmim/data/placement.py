"""Where an image lies on the canvas a dense network sees: one rule for its pixels, its label map and its masks.

Shapes: h w pixels of the stored image, H W of the canvas, n instance masks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class Placement:
    """Scale, crop, mirror, pad: in this order. The picture's upper left corner is the canvas's.

    Args:
        stored: height and width of the stored image.
        scaled: height and width after scaling.
        canvas: height and width of the result.
        corner: first row and column of the scaled image that is shown.
        mirrored: left and right of what is shown are swapped.
    """

    stored: tuple[int, int]
    scaled: tuple[int, int]
    canvas: tuple[int, int]
    corner: tuple[int, int] = (0, 0)
    mirrored: bool = False

    @property
    def shown(self) -> tuple[int, int]:
        """Height and width of the picture on the canvas; the rest is padding."""
        return tuple(min(c, s - k) for c, s, k in zip(self.canvas, self.scaled, self.corner))

    def image(
        self,
        image: Image.Image,
        padding: tuple[int, ...],
        recolour: Callable[[Image.Image], Image.Image] = lambda picture: picture,
    ) -> np.ndarray:
        """RGB image -> uint8 [3, H, W], bilinear with antialiasing, recoloured, padded with one colour."""
        (top, left), (height, width) = self.corner, self.shown
        down, across = (stored / scaled for stored, scaled in zip(self.stored, self.scaled))
        source = (left * across, top * down, (left + width) * across, (top + height) * down)
        pixels = np.asarray(recolour(image.resize((width, height), Image.Resampling.BILINEAR, box=source)))
        canvas = np.full((*self.canvas, 3), padding, dtype=np.uint8)
        canvas[:height, :width] = pixels[:, ::-1] if self.mirrored else pixels
        return np.ascontiguousarray(canvas.transpose(2, 0, 1))

    def labels(self, labels: np.ndarray, padding: int) -> np.ndarray:
        """Label map or masks [..., h, w] -> [..., H, W], each pixel that of the nearest pixel centre."""
        rows, columns = (
            np.floor((np.arange(shown) + corner + 0.5) * stored / scaled).astype(np.int64)
            for shown, corner, stored, scaled in zip(self.shown, self.corner, self.stored, self.scaled)
        )
        columns = columns[::-1] if self.mirrored else columns
        canvas = np.full((*labels.shape[:-2], *self.canvas), padding, dtype=labels.dtype)
        canvas[..., : self.shown[0], : self.shown[1]] = labels[..., rows[:, None], columns]
        return canvas


def scaled_by(stored: tuple[int, int], ratio: float) -> tuple[int, int]:
    """Height and width times a ratio, rounded, at least 1 pixel."""
    return tuple(max(1, round(side * ratio)) for side in stored)


def fit_long_side(stored: tuple[int, int], longest_px: float) -> tuple[int, int]:
    """Height and width with the same proportions that just fit into a square."""
    return scaled_by(stored, longest_px / max(stored))


def fit_short_side(stored: tuple[int, int], shortest_px: float, long_side_limit: float) -> tuple[int, int]:
    """Height and width with the same proportions and this short side, or a long side of `long_side_limit` times it."""
    return scaled_by(stored, min(shortest_px / min(stored), shortest_px * long_side_limit / max(stored)))


def random_placement(
    stored: tuple[int, int], scaled: tuple[int, int], canvas_px: int, draws: Sequence[float], mirrored: bool
) -> Placement:
    """A square window somewhere on the scaled image; `draws` are two numbers in [0, 1) for its row and column."""
    room = (max(0, side - canvas_px) for side in scaled)
    corner = tuple(int(draw * (free + 1)) for draw, free in zip(draws, room))
    return Placement(stored, scaled, (canvas_px, canvas_px), corner, mirrored)
