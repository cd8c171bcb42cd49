"""Square masking (section 3.2): one square region, at a random place, is hidden in every image."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from simmim.masks._ratio import check_ratio
from simmim.masks._rectangles import rectangles
from simmim.rng import KeyedGenerator


@dataclass(frozen=True)
class Square:
    """Hides a square of `round(sqrt(ratio * cells))` cells a side, aligned to the cells, anywhere in the image.

    Args:
        ratio: share of cells to hide, inside (0, 1), brought to the nearest whole side: on 6 x 6 cells the paper's
            0.11, 0.25 and 0.44 are 2 x 2, 3 x 3 and 4 x 4 (Table 1).
    """

    ratio: float = 0.25

    def __post_init__(self) -> None:
        check_ratio(self.ratio)

    def sample(self, n: int, grid: tuple[int, int], generator: KeyedGenerator) -> np.ndarray:
        """Masks for n images, bool [n, *grid], True = hidden.

        Raises:
            ValueError: for a ratio whose square has no cell, is the whole grid or does not fit into it.
        """
        side = self._side(grid)
        places = np.array(grid) - side + 1  # where the first row and column may lie
        top, left = np.floor(generator.uniform(2) * places).T  # [n] each
        return rectangles(top, left, side, side, grid)

    def _side(self, grid: tuple[int, int]) -> int:
        cells, largest = grid[0] * grid[1], min(grid) - (grid[0] == grid[1])
        side = round(math.sqrt(self.ratio * cells))
        if not 1 <= side <= largest:
            nearest = min(max(side, 1), largest)
            hint = f"; nearest: {nearest**2 / cells:.2f} ({nearest} x {nearest})" if largest else ""
            raise ValueError(
                f"mask.ratio {self.ratio} is a square of {side} x {side} cells, which on {grid[0]} x {grid[1]} cells "
                f"hides nothing, hides everything or does not fit{hint}"
            )
        return side
