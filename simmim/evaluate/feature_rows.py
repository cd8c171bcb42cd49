"""Rows of frozen features that stay on disk, and the choice of a block on held-out training images.

Letters: n images of the set, m of them in a part, d channels of a block.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from simmim.rng import epoch_order

# So many rows are in memory at a time: 0.3 GB of the widest block.
CHUNK = 65_536
VALUE_BYTES = 2  # on disk


@dataclass(frozen=True)
class Features:
    """Features of some images of a set.

    Args:
        maps: a memory-mapped float16 array [n, d] for every block; what is read is float32.
        labels: class of each image, int64 [m].
        rows: where it stands in the maps, int64 [m].
        moments: per block, mean and deviation [d] that are taken out of what is read.
    """

    maps: Sequence[np.ndarray]
    labels: Tensor
    rows: Tensor
    moments: tuple[tuple[Tensor, Tensor], ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def widths(self) -> list[int]:
        """Channels of every block."""
        return [each.shape[1] for each in self.maps]

    def part(self, chosen: Tensor) -> Features:
        """Those of some of the images, by their place here."""
        return replace(self, labels=self.labels[chosen], rows=self.rows[chosen])

    def read(self, block: int, chosen: Tensor | slice = slice(None)) -> Tensor:
        """Features of a block [m, d] of some images, by their place here."""
        read = torch.from_numpy(np.asarray(self.maps[block][self.rows[chosen].numpy()])).float()
        if not self.moments:
            return read
        mean, deviation = self.moments[block]
        return (read - mean) / deviation

    def chunks(self, block: int) -> Iterator[Tensor]:
        """All features of a block in parts [up to CHUNK, d]."""
        return (self.read(block, slice(first, first + CHUNK)) for first in range(0, len(self), CHUNK))

    def standardised_by(self, train: Features) -> Features:
        """The same with the mean and deviation of `train` taken out."""
        return replace(self, moments=tuple(_moments(train, block) for block in range(len(train.maps))))


def _moments(features: Features, block: int) -> tuple[Tensor, Tensor]:
    """Mean and deviation [d] of a block, part by part; sums around one image lose no digits to a large mean."""
    origin = features.read(block, slice(0, 1)).double()  # [1, d]
    total = squares = torch.zeros(origin.shape[1], dtype=torch.float64)
    for part in features.chunks(block):
        moved = part - origin  # [m, d]
        total, squares = total + moved.sum(0), squares + moved.square_().sum(0)
    mean = total / len(features)
    deviation = ((squares - total * mean) / max(1, len(features) - 1)).clamp_min(0).sqrt()
    return (origin[0] + mean).float(), deviation.float().clamp_min(1e-6)


def split_held_out(features: Features, share: float, seed: int) -> tuple[Features, Features]:
    """(kept, held out) parts of a training set, drawn by the seed.

    Raises:
        ValueError: where no image would be kept.
    """
    order = epoch_order(seed, 0, len(features))
    count = max(1, round(share * len(order)))
    if count >= len(order):
        way_out = "lower it" if len(order) > 1 else "two are the fewest"
        raise ValueError(
            f"settings.held_out={share:g} of {len(order)} training images leaves none to learn from; {way_out}"
        )
    kept, held_out = (features.part(torch.from_numpy(np.sort(part))) for part in (order[count:], order[:count]))
    return kept, held_out


def rows_of_blocks(held_out: list[float], final: list[float]) -> list[tuple[str, str, float]]:
    """Result rows from the accuracy (percent) of every block on held-out training images and on the evaluation set.

    Returns:
        `selection_top1` (held-out) and `top1` of every block, and `top1` of the block with the best selection accuracy.
    """
    best = max(range(len(held_out)), key=held_out.__getitem__)
    rows = [("selection_top1", f"block {block}", value) for block, value in enumerate(held_out, 1)]
    rows += [("top1", f"block {block}", value) for block, value in enumerate(final, 1)]
    return [*rows, ("top1", "chosen", final[best]), ("chosen_block", "", best + 1)]
