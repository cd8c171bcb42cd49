"""How the discrete VAE is trained: reconstruct crops through codes drawn by Gumbel-softmax, ever more sharply."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import Dataset

from simmim.config.models import TokenizerConfig
from simmim.config.sections import ImagesSection
from simmim.data.pretraining import random_crops
from simmim.data.shards import Shards
from simmim.rng import Key
from simmim.train.loop import Run, fit
from simmim.train.processes import Processes
from simmim.train.task import TrainTask

if TYPE_CHECKING:
    from simmim.tokenizers.dvae import Dvae


class Settings(NamedTuple):
    """See `Dvae`."""

    image_px: int
    first_temperature: float
    last_temperature: float
    divergence_weight: float


def train(
    model: Dvae, settings: Settings, shards: Shards, config: TokenizerConfig, state: Path, processes: Processes
) -> None:
    """Train encoder and decoder in place, going on from the newest checkpoint in `state`."""
    loop = config.train
    crops = _Crops(shards, config.images, settings.image_px, config.seed)
    images = loop.steps(len(crops)) * loop.batch
    task = _Reconstruction(model, settings, images, processes.world)
    groups = [{"params": list(model.parameters()), "weight_decay": loop.weight_decay}]
    run = Run(config.seed, state, config.as_json(), label=f"{config.scale}/{config.name}")
    fit(task, crops, groups, loop, run, processes)


class _Reconstruction(TrainTask):
    """Mean squared error of the image that comes back, and the codes' divergence from being used alike.

    Args:
        images: of the whole training.
    """

    def __init__(self, model: Dvae, settings: Settings, images: int, world: int) -> None:
        super().__init__()
        self.model = model
        self._settings, self._images, self._world = settings, images, world
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))  # saved with a checkpoint: so far

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        images = batch["images"].float() / 255
        temperature = self._temperature()
        self.seen += len(images) * self._world
        logits = self.model.logits(images).float()  # [b, codes, h, w]
        shares = functional.gumbel_softmax(logits, temperature, dim=1)
        error = (self.model.images(shares).float() - images).square().mean()
        return error + self._settings.divergence_weight * divergence_from_uniform(logits)

    def _temperature(self) -> Tensor:
        first, last = self._settings.first_temperature, self._settings.last_temperature
        return first * (last / first) ** (self.seen / self._images)


def divergence_from_uniform(logits: Tensor) -> Tensor:
    """Mean KL divergence of softmax(logits) [b, codes, h, w] from the uniform distribution, in nats a code."""
    log_shares = logits.log_softmax(1)
    return (log_shares.exp() * (log_shares + math.log(logits.shape[1]))).sum(1).mean()


class _Crops(Dataset):
    """Random crops drawn per (seed, epoch, sample)."""

    def __init__(self, shards: Shards, images: ImagesSection, image_px: int, seed: int) -> None:
        self._shards, self._images, self._image_px, self._seed = shards, images, (image_px, image_px), seed

    def __len__(self) -> int:
        return len(self._shards)

    @property
    def sample_ids(self) -> list[str]:
        return self._shards.ids

    def __getitems__(self, keys: list[Key]) -> dict[str, Tensor]:
        epochs, samples = np.array(keys).T
        return {"images": random_crops(self._shards, self._images, self._image_px, 3, self._seed, epochs, samples)}
