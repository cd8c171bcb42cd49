"""Which samples every step sees: a pure function of (seed, step), whatever the number of ranks or workers."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from simmim.config.training import micro_batch_size
from simmim.rng import Key, epoch_order


@dataclass(frozen=True)
class BatchSampler:
    """This process's micro-batches, from a step on; a batch sampler for `torch.utils.data.DataLoader`.

    The samples are one endless stream, epoch after epoch in a new order, cut into global batches. A batch may reach
    over the end of an epoch: without `repeats` every sample is seen equally often, and a data set may be smaller than a
    batch. (The released code drops the tail of an epoch instead: 625 steps rather than 625.6 on ImageNet-1K.)

    Args:
        samples: size of the data set.
        batch: samples of one update, over all processes.
        micro_batch: the most samples one process takes through the network at once.
        steps: updates in all.
        start_step: the first one to sample; a resumed run reads nothing twice.
        repeats: how often an image follows itself, each time with other draws; an epoch keeps its length and shows
            one image in `repeats`, drawn anew in the next (repeated augmentation, arXiv 1901.09335 and 2012.12877).
        world: number of processes.
        rank: which of them this is.

    Raises:
        ValueError: without samples, or where the batch cannot be divided evenly.
    """

    samples: int
    batch: int
    micro_batch: int
    steps: int
    seed: int
    start_step: int = 0
    repeats: int = 1
    world: int = 1
    rank: int = 0

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise ValueError("there are no samples to train on")
        if self.batch % self.world:
            raise ValueError(f"train.batch {self.batch} cannot be shared by {self.world} processes evenly")

    @property
    def accumulation(self) -> int:
        """Micro-batches of one update: the fewest of equal size that fit `micro_batch`."""
        share = self.batch // self.world
        return share // micro_batch_size(share, self.micro_batch)

    @property
    def remark(self) -> str:
        """Words on micro-batches below half of what is allowed, with the nearest batch that has larger ones; or ""."""
        share = self.batch // self.world
        if not _is_far_below(share, self.micro_batch):
            return ""
        nearest = next(
            each
            for distance in itertools.count(1)
            for each in (share - distance, share + distance)
            if each > 0 and not _is_far_below(each, self.micro_batch)
        )
        return (
            f"{self.accumulation} micro-batches of {share // self.accumulation} make an update: no larger number up to "
            f"train.micro_batch={self.micro_batch} divides the {share} images of a process; faster: "
            f"train.batch={nearest * self.world}, micro-batches of {micro_batch_size(nearest, self.micro_batch)}"
        )

    def __iter__(self) -> Iterator[list[Key]]:
        """Micro-batches of this rank, `accumulation` of them a step."""
        share = self.batch // self.world
        size = share // self.accumulation
        for step in range(self.start_step, self.steps):
            mine = self.keys(step, slice(self.rank * share, (self.rank + 1) * share))
            yield from (mine[at : at + size] for at in range(0, share, size))

    def keys(self, step: int, part: slice = slice(None)) -> list[Key]:
        """(epoch, sample) of a step's whole batch, or a part of it; repeats count as epochs of their own."""
        positions = np.arange(step * self.batch, (step + 1) * self.batch)[part]
        epochs, places = np.divmod(positions, self.samples)
        samples = np.empty_like(places)
        for epoch in np.unique(epochs).tolist():
            here = epochs == epoch
            samples[here] = self._order(epoch)[places[here] // self.repeats]
        turns = epochs * self.repeats + places % self.repeats
        return [*zip(turns.tolist(), samples.tolist())]

    def epoch(self, step: int) -> float:
        """Passes over the data before a step."""
        return step * self.batch / self.samples

    @cached_property
    def _order(self) -> Callable[[int], np.ndarray]:
        """Order of the samples in an epoch; the two last used are kept, for a batch may reach from one to the next."""
        return lru_cache(maxsize=2)(lambda epoch: epoch_order(self.seed, epoch, self.samples))


def _is_far_below(share: int, most: int) -> bool:
    """Whether a process's share of a batch takes micro-batches below half of what is allowed."""
    return 2 * micro_batch_size(share, most) < min(share, most)
