"""The loss of a model in pre-training on images it never saw, beside that of the simplest prediction there is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from simmim.data.pretraining import hidden_tokens, whole_images
from simmim.data.shards import Shards

if TYPE_CHECKING:
    from simmim.pretrain.run import Pretraining

HELD_OUT_IMAGES = 1024


def mean_colour_prediction(images: Tensor, weight: Tensor) -> Tensor:
    """The mean visible colour of every image, [b, c, 1, 1]; the prediction any model has to beat.

    Args:
        images: [b, c, H, W].
        weight: [b, 1, H, W], 1 on hidden pixels.
    """
    visible = 1 - weight
    return (images * visible).sum((2, 3), keepdim=True) / visible.sum((2, 3), keepdim=True)


@torch.inference_mode()
def held_out_losses(task: Pretraining, shards: Shards, mask: Any, dtype: torch.dtype | None) -> dict[str, float]:
    """The run's own loss on held-out images, taken on the hidden cells of fixed masks whatever its loss area is.

    Returns:
        `heldout_loss`, in the target's units; where colours are a possible prediction, beside it
        `heldout_loss_mean_colour`, of predicting each image's visible mean colour.
    """
    model, geometry = task.eval().model, task.model.geometry
    samples = np.arange(min(len(shards), HELD_OUT_IMAGES))
    totals: dict[str, float] = {}
    for part in np.array_split(samples, max(1, len(samples) // 64)):
        images = task.normalise(
            whole_images(shards, part, geometry.image, task.normalise.channels).to(task.normalise.device)
        )
        hidden = hidden_tokens(mask, geometry, 0, 0, part).to(images.device)
        with torch.autocast(images.device.type, dtype, enabled=dtype is not None):
            guesses = {"heldout_loss": model.reconstruct(images, hidden)}
        if model.target.in_pixel_units:
            pixels = geometry.tokens_to_pixels(hidden)[:, None].float()  # [b, 1, H, W]
            guesses["heldout_loss_mean_colour"] = mean_colour_prediction(images, pixels)
        target, weight = model.target(images), model.hidden_cells(hidden).float()
        for name, guess in guesses.items():
            totals[name] = totals.get(name, 0.0) + model.loss(guess.float(), target, weight).item() * len(part)
    return {name: total / len(samples) for name, total in totals.items()}
