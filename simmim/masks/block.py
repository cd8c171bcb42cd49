"""Block-wise masking (section 3.2): rectangles of random size and shape, as in BEiT (arXiv 2106.08254, Algorithm 1)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from simmim.masks._ratio import check_ratio, hidden_cells
from simmim.masks._rectangles import rectangles
from simmim.rng import KeyedGenerator

_LOG_ASPECT = math.log(1 / 0.3)
_GOLDEN = (math.sqrt(5) - 1) / 2
# Blocks drawn per image. At the paper's settings fewer than 1 % of images are not full by then.
_ATTEMPTS = 64


@dataclass(frozen=True)
class Block:
    """Hides exactly `ceil(ratio * cells)` cells of every image in overlapping rectangles.

    Each rectangle has a uniform area between `min_cells` and the number of cells still to hide, a log-uniform aspect
    ratio between 0.3 and 1 / 0.3, is shorter than the grid on both sides, and is put down where it hides at least one
    more cell and not more than are missing. Cells that are still missing after 64 rectangles are drawn one by one,
    beside hidden ones first.

    Args:
        ratio: share of cells to hide, inside (0, 1).
        min_cells: smallest area of a rectangle. The paper names none and BEiT's 16 leaves no room on the paper's 6 x 6
            cells; 2 reproduces the AvgDist of Figure 3a within 6 % on cells of 16 and of 32 px.
    """

    ratio: float = 0.6
    min_cells: int = 2

    def __post_init__(self) -> None:
        check_ratio(self.ratio)
        if not isinstance(self.min_cells, int) or self.min_cells < 1:
            raise ValueError(f"mask.min_cells {self.min_cells} must be a whole number of at least 1; nearest: 1")

    def sample(self, n: int, grid: tuple[int, int], generator: KeyedGenerator) -> np.ndarray:
        """Masks for n images, bool [n, *grid], True = hidden.

        Raises:
            ValueError: for a ratio that hides all cells.
        """
        all_draws = generator.uniform(4 * _ATTEMPTS + 1)
        hidden = np.zeros((n, *grid), dtype=bool)
        missing = np.full(n, hidden_cells(self.ratio, grid[0] * grid[1]))
        for draws in all_draws[:, :-1].reshape(n, _ATTEMPTS, 4).swapaxes(0, 1):  # [n, 4]
            unfinished = np.flatnonzero(missing)
            if not len(unfinished):
                break
            block = self._block(draws[unfinished], missing[unfinished], grid)  # [m, h, w]
            gained = (block & ~hidden[unfinished]).sum((1, 2), dtype=np.int32)
            accepted = (gained > 0) & (gained <= missing[unfinished])
            hidden[unfinished[accepted]] |= block[accepted]
            missing[unfinished[accepted]] -= gained[accepted]
        unfinished = np.flatnonzero(missing)
        hidden[unfinished] |= _completion(hidden[unfinished], missing[unfinished], all_draws[unfinished, -1])
        return hidden

    def _block(self, draws: np.ndarray, missing: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
        """One rectangle per image from four uniform draws, bool [m, *grid]; empty where it would not fit."""
        area, aspect, down, right = draws.T  # [m] each
        area = self.min_cells + area * np.maximum(missing - self.min_cells, 0)
        aspect = np.exp(_LOG_ASPECT * (2 * aspect - 1))
        height, width = np.rint(np.sqrt(area * aspect)), np.rint(np.sqrt(area / aspect))
        height[(height >= grid[0]) | (width >= grid[1])] = 0
        top, left = np.floor(down * (grid[0] - height + 1)), np.floor(right * (grid[1] - width + 1))
        return rectangles(top, left, height, width, grid)


def _completion(hidden: np.ndarray, missing: np.ndarray, draw: np.ndarray) -> np.ndarray:
    """`missing` [m] further cells of each image, those beside hidden ones [m, h, w] first, ordered by `draw`."""
    framed = np.pad(hidden, ((0, 0), (1, 1), (1, 1)))
    beside = framed[:, :-2, 1:-1] | framed[:, 2:, 1:-1] | framed[:, 1:-1, :-2] | framed[:, 1:-1, 2:]
    images, cells = len(hidden), math.prod(hidden.shape[1:])
    order = (draw[:, None] + _GOLDEN * np.arange(cells)) % 1  # [m, cells]: one draw puts all cells in another order
    rank = order + (~beside + 2 * hidden).reshape(images, cells)
    return (rank.argsort(axis=1).argsort(axis=1) < missing[:, None]).reshape(hidden.shape)
