"""Patch-aligned random masking, the paper's default (section 3.2): a fixed number of cells of every image is hidden."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simmim.masks._ratio import check_ratio, hidden_cells
from simmim.rng import KeyedGenerator


@dataclass(frozen=True)
class Random:
    """Hides `ceil(ratio * cells)` cells, drawn without replacement, in every image.

    Args:
        ratio: share of cells to hide, inside (0, 1). The ceiling is the released code's: 0.6 of 36 cells hides 22.
    """

    ratio: float = 0.6

    def __post_init__(self) -> None:
        check_ratio(self.ratio)

    def sample(self, n: int, grid: tuple[int, int], generator: KeyedGenerator) -> np.ndarray:
        """Masks for n images, bool [n, *grid], True = hidden.

        Raises:
            ValueError: for a ratio that hides all cells.
        """
        cells = grid[0] * grid[1]
        order = np.argsort(generator.uniform(cells), axis=1, kind="stable")  # [n, cells]
        hidden = np.zeros((n, cells), dtype=bool)
        np.put_along_axis(hidden, order[:, : hidden_cells(self.ratio, cells)], True, axis=1)
        return hidden.reshape(n, *grid)
