"""Images of n bands of 8 or 16 bits: how a packed set stores them, and their statistics.

A stored image is the content of a `.npy` file, [bands, h, w], uint8 or little-endian uint16, as it was in its source.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq

NPY = b"\x93NUMPY"  # how the content of a .npy file begins
_AT_ONCE = 16  # images


@dataclass(frozen=True)
class Bands:
    """What all images of a set packed with `pack.bands` have in common.

    Args:
        count: bands of every image.
        bits: of every value, 8 or 16.
        mean, std: over all pixels of all images, by band, as shares of the full range (255 or 65,535); empty until
            they are measured.
    """

    count: int
    bits: int
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    def __str__(self) -> str:
        return f"{self.count} band{'s'[: self.count > 1]} of {self.bits} bits"

    @property
    def dtype(self) -> np.dtype:
        """Of the values."""
        return np.dtype("<u2" if self.bits == 16 else "u1")


class Moments(NamedTuple):
    """Number of pixels, and by band the sum of the values and of their squares; all exact."""

    pixels: int
    sums: list[int]
    squares: list[int]


def to_bytes(array: np.ndarray) -> bytes:
    """An image [bands, h, w] as it is stored."""
    stream = io.BytesIO()
    np.save(stream, np.ascontiguousarray(array), allow_pickle=False)
    return stream.getvalue()


def from_bytes(content: bytes) -> np.ndarray:
    """The image [bands, h, w] of what `to_bytes` made."""
    return np.load(io.BytesIO(content), allow_pickle=False)


def is_array(content: bytes) -> bool:
    """Whether a stored image is one of n bands, not a picture."""
    return content.startswith(NPY)


def moments_of(shard: Path) -> Moments:
    """Moments of all images of a shard."""
    pixels, sums, squares = 0, np.zeros(1, object), np.zeros(1, object)
    for batch in pq.ParquetFile(shard, page_checksum_verification=True).iter_batches(_AT_ONCE, columns=["image"]):
        for content in batch.column("image"):
            values = from_bytes(content.as_py()).astype(np.uint64)  # [bands, h, w]; a sum of squares fits
            pixels += values[0].size
            sums = sums + values.sum((1, 2)).astype(object)
            squares = squares + np.square(values).sum((1, 2)).astype(object)
    return Moments(pixels, sums.tolist(), squares.tolist())


def with_statistics(bands: Bands, shards: Iterable[Moments]) -> Bands:
    """The same with mean and standard deviation (over n) of all its shards."""
    counts, sums, squares = zip(*shards)
    pixels, full = sum(counts), 2**bands.bits - 1
    sums, squares = ([sum(shard) for shard in zip(*each)] for each in (sums, squares))
    std = [math.sqrt((pixels * square - total**2) / pixels**2) / full for total, square in zip(sums, squares)]
    return replace(bands, mean=tuple(total / (pixels * full) for total in sums), std=tuple(std))
