"""Losses between prediction and target, averaged over weighted pixels and all channels (section 3.4)."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]


def l1(prediction: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Mean absolute error over weighted pixels and channels.

    The released code adds 1e-5 to the number of pixels; in float32 that vanishes from 256 masked pixels on, and it is
    left out here.

    Args:
        prediction: [b, c, H, W], in half precision under autocast; the error is in the wider of the two types.
        target: [b, c, H, W].
        weight: [b, 1, H, W], 0 for pixels that do not count; not all of them may be 0.

    Returns:
        A scalar in the target's units.
    """
    error = (prediction - target).abs()
    return (error * weight).sum() / (weight.sum() * target.shape[1])


BY_NAME: dict[str, Loss] = {"l1": l1}
