"""Axis-parallel rectangles of cells, one per image."""

from __future__ import annotations

import numpy as np


def rectangles(
    top: np.ndarray, left: np.ndarray, height: np.ndarray, width: np.ndarray, grid: tuple[int, int]
) -> np.ndarray:
    """bool [n, *grid], True inside; top, left, height and width are cells, [n] each or one for all."""
    rows = _between(top, height, grid[0])  # [n, h]
    columns = _between(left, width, grid[1])  # [n, w]
    return rows[:, :, None] & columns[:, None, :]


def _between(first: np.ndarray, count: np.ndarray, length: int) -> np.ndarray:
    places = np.arange(length)
    first, end = first[:, None], (first + count)[:, None]
    return (places >= first) & (places < end)
