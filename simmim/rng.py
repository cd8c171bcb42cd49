"""Random numbers that depend on (seed, epoch, sample, purpose) only, never on workers, ranks or batches.

Philox4x32-10 (Salmon et al., Parallel random numbers: as easy as 1, 2, 3, SC 2011), vectorised over samples: the
sample is part of the counter, so the draws of one sample are the same whatever stands beside it in a batch.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

Key = tuple[int, int]  # (epoch, sample index): what a data set is asked for, and what its draws depend on

_LOW = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)
_MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_WEYL = 0x9E3779B9, 0xBB67AE85


def philox(counter: tuple[np.ndarray, ...], key: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    """Ten rounds of Philox4x32: four counter words, two key words (uint64 arrays below 2^32) -> four random words."""
    c0, c1, c2, c3 = counter
    for turn in range(10):
        k0, k1 = ((word + np.uint64(turn * step)) & _LOW for word, step in zip(key, _WEYL))
        left, right = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0, c1, c2, c3 = (right >> _SHIFT) ^ c1 ^ k0, right & _LOW, (left >> _SHIFT) ^ c3 ^ k1, left & _LOW
    return c0, c1, c2, c3


class KeyedGenerator:
    """A stream of uniform numbers for each of n samples.

    Args:
        seed: 0 to 2^32 - 1.
        epoch: pass over the data, from 0; one for all samples or [n].
        samples: [n] index of each sample in its data set.
        purpose: what the numbers are for ("mask", "crop"): another purpose is another stream.
    """

    def __init__(self, seed: int, epoch: int | np.ndarray, samples: np.ndarray, purpose: str) -> None:
        if not 0 <= seed < 2**32:
            raise ValueError(f"seed {seed} must lie between 0 and 2^32 - 1")
        self._samples = np.asarray(samples, dtype=np.uint64)[:, None]  # [n, 1]
        self._key = np.uint64(seed), np.asarray(epoch, dtype=np.uint64).reshape(-1, 1)  # the epoch [n, 1] or [1, 1]
        self._purpose = np.uint64(zlib.crc32(purpose.encode()))
        self._used_blocks = 0

    def __len__(self) -> int:
        return len(self._samples)

    def integers(self, count: int) -> np.ndarray:
        """The next `count` 32-bit words of every sample, uint64 [n, count]."""
        blocks = -(-count // 4)
        block = np.arange(self._used_blocks, self._used_blocks + blocks, dtype=np.uint64)[None]  # [1, blocks]
        self._used_blocks += blocks
        ones = np.ones_like(block + self._samples)
        counter = block * ones, self._purpose * ones, (self._samples & _LOW) * ones, (self._samples >> _SHIFT) * ones
        words = np.stack(philox(counter, self._key), axis=-1)  # [n, blocks, 4]
        return words.reshape(len(self), -1)[:, :count]

    def uniform(self, count: int) -> np.ndarray:
        """The next `count` numbers in [0, 1) of every sample, float64 [n, count]."""
        return self.integers(count) * 2.0**-32


def seed_for(seed: int, epoch: int, sample: int, purpose: str) -> int:
    """One 32-bit seed for a library that brings its own generator."""
    return int(KeyedGenerator(seed, epoch, np.array([sample]), purpose).integers(1)[0, 0])


def epoch_order(seed: int, epoch: int, samples: int) -> np.ndarray:
    """The order in which an epoch visits its samples, int64 [samples]; a full permutation."""
    draws = KeyedGenerator(seed, epoch, np.arange(samples), "order").integers(2)
    return np.argsort((draws[:, 0] << _SHIFT) | draws[:, 1], kind="stable")


@contextmanager
def libraries_left_alone() -> Iterator[None]:
    """Put back the generators of Python and NumPy, which a library draws from and the block seeds for it."""
    python, numpy = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
