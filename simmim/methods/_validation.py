"""SimMIM's loss on images it was not trained on, beside that of the simplest prediction there is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from simmim.data.pretraining import hidden_tokens, whole_images
from simmim.data.shards import Shards

if TYPE_CHECKING:
    from simmim.methods.simmim import SimMIM

VALIDATION_IMAGES = 1024
_IMAGES_AT_ONCE = 64


@torch.inference_mode()
def validation_losses(method: SimMIM, shards: Shards, dtype: torch.dtype | None) -> dict[str, float]:
    """The method's loss under one fixed mask per image, on hidden cells whatever its loss area is.

    The images are the first ones as they are packed, class by class where the source has a folder per class: of
    ImageNet's 50,000 they show 21 classes of 1000. It compares trainings on one set, and estimates no mean over it.

    Returns:
        `validation_loss`, in the target's units; where a colour is a possible prediction, beside it
        `validation_loss_mean_colour`, of predicting each image's mean visible colour.
    """
    method.eval()
    samples = np.arange(min(len(shards), VALIDATION_IMAGES))
    totals: dict[str, float] = {}
    for part in np.array_split(samples, max(1, len(samples) // _IMAGES_AT_ONCE)):
        for name, loss in _losses_of(method, shards, part, dtype).items():
            totals[name] = totals.get(name, 0.0) + loss * len(part)
    return {name: total / len(samples) for name, total in totals.items()}


def _losses_of(method: SimMIM, shards: Shards, samples: np.ndarray, dtype: torch.dtype | None) -> dict[str, float]:
    """Mean losses of some images."""
    geometry, device = method.geometry, method.normalise.device
    images = whole_images(shards, samples, geometry.image, method.normalise.channels).to(device)
    hidden = hidden_tokens(method.mask, geometry, 0, 0, samples).to(device)
    normalised = method.normalise(images)
    with torch.autocast(device.type, dtype, enabled=dtype is not None):
        predictions = {"validation_loss": method.predict(normalised, hidden)}
    if method.target.in_pixel_units:
        pixels = geometry.tokens_to_pixels(hidden)[:, None]  # [b, 1, H, W]
        predictions["validation_loss_mean_colour"] = mean_visible_colour(normalised, pixels)
    wanted = method.target(images, normalised)
    return {name: method.compare(each.float(), wanted, hidden).item() for name, each in predictions.items()}


def mean_visible_colour(images: Tensor, hidden: Tensor) -> Tensor:
    """The mean colour of every image's visible pixels, [b, c, 1, 1].

    Args:
        images: [b, c, H, W].
        hidden: bool [b, 1, H, W], True = hidden.
    """
    visible = 1 - hidden.float()
    return (images * visible).sum((2, 3), keepdim=True) / visible.sum((2, 3), keepdim=True)
