"""Frozen features of every block, extracted once, and the choice of a block on held-out training images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from simmim.data.classification import few_labels, scoring_images
from simmim.data.shards import Shards
from simmim.evaluate.classify_settings import FrozenSettings
from simmim.keyed import epoch_order
from simmim.normaliser import ImageNormaliser


@dataclass(frozen=True)
class Features:
    """Features of a set in host memory: one [n, d] tensor per block, and the class of each image, int64 [n]."""

    blocks: list[Tensor]
    labels: Tensor

    def __getitem__(self, samples: Tensor) -> Features:
        return Features([block[samples] for block in self.blocks], self.labels[samples])


@torch.inference_mode()
def extract(
    encoder: nn.Module,
    header: Mapping[str, Any],
    shards: Shards,
    settings: FrozenSettings,
    device: torch.device,
    dtype: torch.dtype | None,
) -> Features:
    """Average-pooled output of every block for all images of a set, under the evaluation transform."""
    few_labels(shards, None, 0)  # refuses unlabelled images
    encoder = encoder.to(device).eval()
    normalise = ImageNormaliser(header["mean"], header["std"]).to(device)
    parts = []
    for first in range(0, len(shards), settings.score_batch):
        samples = range(first, min(first + settings.score_batch, len(shards)))
        images = scoring_images(shards, samples, settings.image_px, settings.score_crop, len(header["mean"]))
        with torch.autocast(device.type, dtype, enabled=dtype is not None):
            outputs = encoder.block_features(normalise(images.to(device)))
        parts.append([output.float().cpu() for output in outputs])
    return Features([torch.cat(block) for block in zip(*parts)], torch.tensor(shards.labels))


def standardised(train: Features, others: list[Features]) -> list[Features]:
    """All sets with the mean and deviation of `train` taken out of every feature."""
    moments = [(block.mean(0), block.std(0).clamp_min(1e-6)) for block in train.blocks]

    def apply(features: Features) -> Features:
        blocks = [(block - mean) / std for block, (mean, std) in zip(features.blocks, moments)]
        return Features(blocks, features.labels)

    return [apply(features) for features in (train, *others)]


def split_held_out(features: Features, share: float, seed: int) -> tuple[Features, Features]:
    """(kept, held out) parts of a training set, drawn by the seed."""
    order = epoch_order(seed, 0, len(features.labels))
    count = max(1, round(share * len(order)))
    kept, held_out = (features[torch.from_numpy(np.sort(part))] for part in (order[count:], order[:count]))
    return kept, held_out


def rows_of_blocks(held_out: list[float], final: list[float]) -> list[tuple[str, str, float]]:
    """Result rows from the accuracy (percent) of every block on held-out training images and on the evaluation set."""
    best = max(range(len(held_out)), key=held_out.__getitem__)
    rows = [("heldout_top1", f"block {block}", value) for block, value in enumerate(held_out, 1)]
    rows += [("top1", f"block {block}", value) for block, value in enumerate(final, 1)]
    return [*rows, ("top1", "chosen", final[best]), ("chosen_block", "", best + 1)]
