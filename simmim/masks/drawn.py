"""Human-designed masks: an object outlined by hand, hidden as a whole or for the most part (Figure 4)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real

import numpy as np

from simmim.plugin import check_choice
from simmim.rng import KeyedGenerator

_FINE = 8  # points along each side of a cell; an outline that passes between two of them does not touch it


@dataclass(frozen=True)
class Drawn:
    """Hides the cells that an outlined object touches, so that nothing of it is seen, the same ones in every image.

    Args:
        outline: in shares of the image's width (x, to the right) and height (y, downwards), from 0 to 1: `box left
            top right bottom` or `polygon x y x y x y ...`, which may be concave. In a sheet it is quoted:
            `mask=drawn mask.outline='box 0.2 0.2 0.8 0.7'`.
        share: part of the object's cells to hide, in (0, 1]: 1 hides all of it, less hides `ceil(share * cells of the
            object)`, drawn anew in every image.
    """

    outline: str = "box 0.25 0.25 0.75 0.75"
    share: float = 1.0

    def __post_init__(self) -> None:
        _corners(self.outline)
        if not isinstance(self.share, Real) or not 0 < self.share <= 1:
            raise ValueError(f"mask.share {self.share} must lie inside (0, 1], 1 for the whole object")

    def sample(self, n: int, grid: tuple[int, int], generator: KeyedGenerator) -> np.ndarray:
        """Masks for n images, bool [n, *grid], True = hidden.

        Raises:
            ValueError: for an outline that touches no cell, or all of them, or so few that a share of them is all.
        """
        object_cells = np.flatnonzero(_touched(_corners(self.outline), grid))
        count, cells = math.ceil(self.share * len(object_cells)), grid[0] * grid[1]
        if not 0 < count < cells:
            raise ValueError(
                f"mask.outline '{self.outline}' hides {count} of {cells} cells ({grid[0]} x {grid[1]}): "
                "at least one must be hidden and one visible"
            )
        if self.share < 1 and count == len(object_cells):
            raise ValueError(f"mask.share {self.share} of {count} cells that '{self.outline}' touches is all of them")
        order = np.argsort(generator.uniform(len(object_cells)), axis=1, kind="stable")[:, :count]  # [n, count]
        hidden = np.zeros((n, cells), dtype=bool)
        np.put_along_axis(hidden, object_cells[order], True, axis=1)
        return hidden.reshape(n, *grid)


def _corners(outline: str) -> np.ndarray:
    """Outline in words -> corners [k, 2] as (x, y)."""
    form, *words = str(outline).split() or [""]
    check_choice("form of mask.outline", form, ("box", "polygon"))
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        raise ValueError(f"mask.outline '{outline}': every word after '{form}' must be a number") from None
    if not all(0 <= number <= 1 for number in numbers):
        raise ValueError(f"mask.outline '{outline}': positions are shares of the image, from 0 to 1")
    if form == "polygon":
        if len(numbers) < 6 or len(numbers) % 2:
            raise ValueError(f"mask.outline '{outline}': a polygon is at least three pairs x y")
        return np.array(numbers).reshape(-1, 2)
    if len(numbers) != 4 or numbers[0] >= numbers[2] or numbers[1] >= numbers[3]:
        raise ValueError(f"mask.outline '{outline}': a box is left top right bottom, left < right and top < bottom")
    left, top, right, bottom = numbers
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)])


def _touched(corners: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Cells with a part inside the outline, bool [*grid]."""
    points = _inside(corners, (grid[0] * _FINE, grid[1] * _FINE))
    return points.reshape(grid[0], _FINE, grid[1], _FINE).any((1, 3))


def _inside(corners: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Points that lie inside the outline, bool [*grid]: a ray from there crosses it an odd number of times.

    They are the centres of the cells of a grid.
    """
    y, x = np.meshgrid(*((np.arange(side) + 0.5) / side for side in grid), indexing="ij")
    inside = np.zeros(grid, dtype=bool)
    for (x1, y1), (x2, y2) in zip(corners, np.roll(corners, -1, axis=0)):
        crosses = (y1 <= y) != (y2 <= y)
        if crosses.any():
            inside ^= crosses & (x < x1 + (x2 - x1) * (y - y1) / (y2 - y1))
    return inside
