"""How the discrete VAE is trained: reconstruct crops through codes drawn by Gumbel-softmax, ever more sharply.

The recipe is that of appendix A.2 and A.3 of Ramesh et al. (2021), with its lengths as shares of the training.
"""

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
from simmim.storage.identity import Identity
from simmim.tokenizers._usage import usage
from simmim.train.loop import Run, fit
from simmim.train.processes import Processes
from simmim.train.task import TrainTask

if TYPE_CHECKING:
    from simmim.tokenizers.dvae import Dvae

_STARTING_IMAGES = 128  # that centre the logits: the first ones as they are packed, which may be of one class
_REPORTS = 10  # lines on the use of the codes in a training


class Settings(NamedTuple):
    """See `Dvae`."""

    image_px: int
    first_temperature: float
    last_temperature: float
    temperature_share: float
    kl_weight: float
    kl_warmup: float
    usage_weight: float


def train(
    model: Dvae, settings: Settings, shards: Shards, config: TokenizerConfig, state: Path, processes: Processes
) -> None:
    """Train encoder and decoder in place, going on from the newest checkpoint in `state`."""
    loop, label = config.train, f"{config.scale}/{config.name}"
    crops = _Crops(shards, config.images, settings.image_px, config.seed)
    first = crops.__getitems__([(0, sample) for sample in range(min(len(crops), _STARTING_IMAGES))])
    centre_logits(model, first["images"].float() / 255)
    images = loop.steps(len(crops)) * loop.batch
    task = _Reconstruction(model, settings, images, processes, label)
    groups = [{"params": list(model.parameters()), "weight_decay": loop.weight_decay}]
    identity = Identity(config.as_json(), config.seed, {"train": shards.digest})
    fit(task, crops, groups, loop, Run(identity, state, label), processes)


class _Reconstruction(TrainTask):
    """What is lost of the image that comes back, and the codes' divergence from being used alike.

    All terms are in nats a pixel value, as published: one code stands for 3 x 8 x 8 values.

    Args:
        images: of the whole training.
    """

    def __init__(self, model: Dvae, settings: Settings, images: int, processes: Processes, label: str) -> None:
        super().__init__()
        self.model = model
        self._settings, self._images, self._processes, self._label = settings, images, processes, label
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))  # saved with a checkpoint: so far
        self.register_buffer("counts", torch.zeros(model.codes, dtype=torch.int64))  # of codes, since the last report
        self.register_buffer("error", torch.zeros(2, dtype=torch.float64))  # summed absolute errors, and of how many

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        images, settings = batch["images"].float() / 255, self._settings
        progress = self.seen / self._images
        self.seen += len(images) * self._processes.world
        temperature = cosine(
            settings.first_temperature, settings.last_temperature, progress, settings.temperature_share
        )
        weight = cosine(0.0, settings.kl_weight, progress, settings.kl_warmup)
        logits = self.model.logits(images).float()  # [b, codes, h, w]
        shares = functional.gumbel_softmax(logits, temperature, dim=1)
        mean, log_scale = self.model.decoder(shares).float().chunk(2, dim=1)
        self._note(logits, self.model.images(mean), images)
        lost = -logit_laplace(self.model.squeezed(images), mean, log_scale).mean()
        apart = weight * divergence_from_uniform(logits) + settings.usage_weight * divergence_of_use(logits)
        return lost + apart / (3 * self.model.factor**2)

    @torch.no_grad()
    def _note(self, logits: Tensor, back: Tensor, images: Tensor) -> None:
        """Count the likeliest codes and the error of what came back."""
        codes = logits.argmax(1).flatten()
        self.counts.index_add_(0, codes, torch.ones_like(codes))  # bincount waits for the device
        self.error[0] += (back - images).abs().sum()
        self.error[1] += images.numel()

    def after_update(self, step: int, steps: int) -> None:
        """A line on the use of the codes, of this process's images since the last one, ten times in a training."""
        if step * _REPORTS // steps == (step - 1) * _REPORTS // steps:
            return
        if self._processes.is_main_process:
            used, l1 = usage(self.counts), (self.error[0] / self.error[1]).item()
            words = f"{used['codes_used']} of {len(self.counts)} codes in use, perplexity {used['perplexity']:.1f}"
            print(f"{self._label}: step {step} of {steps}: {words}, l1 {l1:.4f}", flush=True)
        self.counts.zero_()
        self.error.zero_()


def cosine(first: float, last: float, progress: Tensor, share: float) -> Tensor:
    """From `first` to `last` over the first `share` of a training (0: `last` at once), as half a cosine wave."""
    done = (progress / share).clamp(max=1) if share else torch.ones_like(progress)
    return last + (first - last) * (1 + torch.cos(math.pi * done)) / 2


def logit_laplace(pixels: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """Log-density, in nats, of values in (0, 1) whose logit has a Laplace distribution (equation 2), elementwise."""
    distance = (pixels.logit() - mean).abs() * (-log_scale).exp()
    return -distance - log_scale - math.log(2) - (pixels * (1 - pixels)).log()


def divergence_from_uniform(logits: Tensor) -> Tensor:
    """Mean KL divergence of softmax(logits) [b, codes, h, w] from the uniform distribution, in nats a code."""
    log_shares = logits.log_softmax(1)
    return (log_shares.exp() * (log_shares + math.log(logits.shape[1]))).sum(1).mean()


def divergence_of_use(logits: Tensor) -> Tensor:
    """KL divergence of the mean of softmax(logits) [b, codes, h, w] from the uniform distribution, in nats.

    It is that part of `divergence_from_uniform` which does not hold a code back from telling what it sees.
    """
    sums = logits.log_softmax(1).logsumexp((0, 2, 3))  # in logs: an unused code has a gradient, too
    log_means = sums - math.log(logits[:, 0].numel())
    return (log_means.exp() * (log_means + math.log(logits.shape[1]))).sum()


@torch.no_grad()
def centre_logits(model: Dvae, images: Tensor) -> None:
    """Scale and shift the last layer so that each code's logits have mean 0 and deviation 1 over some images.

    At random weights a few codes are the likeliest of nearly every image, and training keeps to them: a start that
    depends on the data (Salimans and Kingma, Weight normalization, 2016) has all of them in use.

    Args:
        images: [b, 3, H, W] in [0, 1].
    """
    last, logits = model.blocks.output.conv, model.logits(images)
    deviation = logits.std((0, 2, 3)).clamp(min=1e-6)
    last.w /= deviation[:, None, None, None]
    last.b.sub_(logits.mean((0, 2, 3))).div_(deviation)


class _Crops(Dataset):
    """Random crops drawn per (seed, epoch, sample)."""

    def __init__(self, shards: Shards, images: ImagesSection, image_px: int, seed: int) -> None:
        images.require_host("crops of a tokenizer")
        self._shards, self._images, self._image_px, self._seed = shards, images, (image_px, image_px), seed

    def __len__(self) -> int:
        return len(self._shards)

    @property
    def sample_ids(self) -> list[str]:
        return self._shards.ids

    def __getitems__(self, keys: list[Key]) -> dict[str, Tensor]:
        epochs, samples = np.array(keys).T
        return {"images": random_crops(self._shards, self._images, self._image_px, 3, self._seed, epochs, samples)}
