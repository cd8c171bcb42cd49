"""Losses between prediction and target (sections 3.4 and 4.1.5); `BY_NAME` holds those that a sheet can name.

A loss is a function (prediction, target, weight) -> scalar: the mean over weighted cells and all channels, of the type
of the target or wider, whatever the number format of the prediction. Cells of weight 0 do not act on it.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]

_LOGITS_AT_ONCE = 2**25  # 128 MB in float32


def l1(prediction: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Mean absolute error over weighted cells and channels.

    The released code adds 1e-5 to the number of pixels; in float32 that vanishes from 256 masked pixels on, and it is
    left out here.

    Args:
        prediction: [b, c, h, w], in half precision under autocast; the error is in the wider of the two types.
        target: [b, c, h, w].
        weight: [b, 1, h, w], 0 for cells that do not count; not all of them may be 0.

    Returns:
        A scalar in the target's units.
    """
    return _mean((prediction - target).abs(), weight)


def l2(prediction: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Mean squared error; shapes as for `l1`."""
    return _mean((prediction - target).square(), weight)


def smooth_l1(prediction: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Half the squared error up to 1, the absolute error less one half above; shapes as for `l1`."""
    error = (prediction - target).abs()
    return _mean(0.5 * error.clamp(max=1).square() + (error - 1).clamp(min=0), weight)


def cross_entropy(prediction: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Mean cross-entropy over weighted cells and channels, in nats.

    Beside the prediction and its gradient only a few images' worth of logits are held at a time, in float32: they are
    computed again in the backward pass.

    Args:
        prediction: logits [b, c * k, h, w], the k classes of a channel one after the other.
        target: class numbers, int64 [b, c, h, w].
        weight: [b, 1, h, w] as for `l1`.
    """
    images_at_once = max(1, _LOGITS_AT_ONCE // prediction[0].numel())
    parts = zip(prediction.split(images_at_once), target.split(images_at_once))
    errors = [checkpoint(_cross_entropies, *part, use_reentrant=False, preserve_rng_state=False) for part in parts]
    return _mean(torch.cat(errors), weight)


def _cross_entropies(logits: Tensor, classes: Tensor) -> Tensor:
    """[b, c * k, h, w] and [b, c, h, w] -> [b, c, h, w]."""
    channels = logits.unflatten(1, (classes.shape[1], -1)).flatten(0, 1)  # [b * c, k, h, w]
    wide = torch.promote_types(channels.dtype, torch.float32)
    return functional.cross_entropy(channels.to(wide), classes.flatten(0, 1), reduction="none").view_as(classes)


def _mean(error: Tensor, weight: Tensor) -> Tensor:
    return (error * weight).sum() / (weight.sum() * error.shape[1])


BY_NAME: dict[str, Loss] = {"l1": l1, "l2": l2, "smooth_l1": smooth_l1, "cross_entropy": cross_entropy}
