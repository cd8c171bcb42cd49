"""Splits the demo's tiles by longitude bands with gaps between training and validation, never at random.

Neighbouring tiles look alike, so a random split would leak. The bands repeat every 72 degrees, so that both
splits see several continents; where the first one starts was chosen by counting tiles per climate zone, before any
training.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

TRAIN, VAL = "train", "val"
_PERIODS = 5
_FIRST_BAND_DEGREES = 46.0  # east of 180 W
_VAL_SHARE = 0.35  # of the longitudes that are not gaps
_LAST_LATITUDE = 75.0  # polar rows are stretched beyond use


@dataclass(frozen=True)
class Bands:
    """Which columns belong to which split.

    Args:
        grid: rows and columns of the whole Earth.
        gap_px: columns between a training and a validation band that belong to neither.
    """

    grid: tuple[int, int]
    gap_px: int

    def columns(self, split: str) -> list[tuple[int, int]]:
        """First column and width of the split's bands; a band may run on past the last column (180 E)."""
        period = self.grid[1] // _PERIODS
        val = round((period - 2 * self.gap_px) * _VAL_SHARE)
        train = period - 2 * self.gap_px - val
        start = round(_FIRST_BAND_DEGREES / 360 * self.grid[1])
        offset, width = (0, train) if split == TRAIN else (train + self.gap_px, val)
        return [(start + turn * period + offset, width) for turn in range(_PERIODS)]

    def corners(self, split: str, tile_px: int, stride_px: int, shift_px: int = 0) -> np.ndarray:
        """Top-left corners (row, column) of all tiles that lie whole in a band, int [n, 2]; none crosses 180 E.

        Args:
            shift_px: how far down and right the grid of tiles begins.
        """
        height, width = self.grid
        margin = round((90 - _LAST_LATITUDE) / 180 * height)
        rows = np.arange(margin + shift_px, height - margin - tile_px + 1, stride_px)
        starts = [
            np.arange(first + shift_px, first + band - tile_px + 1, stride_px) for first, band in self.columns(split)
        ]
        columns = np.concatenate(starts) % width
        columns = np.sort(columns[columns + tile_px <= width])
        return np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1).reshape(-1, 2)


def cut(raster: np.ndarray, corner: np.ndarray, tile_px: int) -> np.ndarray:
    """The tile [tile_px, tile_px, ...] at a corner."""
    top, left = corner
    return raster[top : top + tile_px, left : left + tile_px]


def tile_counts(mask: np.ndarray, corners: np.ndarray, tile_px: int) -> np.ndarray:
    """Number of True pixels of a mask [h, w] in every tile, int64 [n]."""
    return np.array([np.count_nonzero(cut(mask, corner, tile_px)) for corner in corners], np.int64)


def evenly(corners: np.ndarray, at_most: int | None) -> np.ndarray:
    """At most so many of the corners, evenly spread over their order; None for all."""
    if at_most is None or len(corners) <= at_most:
        return corners
    return corners[np.linspace(0, len(corners) - 1, at_most).round().astype(int)]


def save(tile: np.ndarray, path: Path) -> None:
    """Write a tile as PNG; little compression, for half the time costs a tenth more bytes."""
    Image.fromarray(tile).save(path, compress_level=1)


def tile_name(corner: np.ndarray) -> str:
    """File stem that tells where a tile was cut."""
    return f"r{corner[0]:04d}_c{corner[1]:04d}"
