"""Maps of four strides from an encoder whose blocks all work at one, as BEiT makes them (2106.08254)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch.nn.functional as F
from torch import Tensor


def pyramid_levels(width: int, token: int) -> list[tuple[int, int]]:
    """Channels and stride of the four maps.

    Raises:
        ValueError: for a token of `token` px that has no quarter.
    """
    if token % 4:
        raise ValueError(f"the feature pyramid divides the token by 4, {token} px cannot be divided")
    return [(width, stride) for stride in (token // 4, token // 2, token, token * 2)]


def pyramid(blocks: Iterator[Tensor], depth: int) -> list[Tensor]:
    """Four maps, finest first, of the outputs [b, d, h, w] of `depth` blocks.

    Blocks at 1/3, 1/2, 2/3 and the end are resized to a quarter, half, one and two times the token, with bilinear
    resizing where BEiT learns a deconvolution.
    """
    taken: Sequence[int] = [max(0, depth * share // 6 - 1) for share in (2, 3, 4)] + [depth - 1]
    outputs = [x if index in taken else None for index, x in enumerate(blocks)]
    quarter, half, whole, double = (outputs[index] for index in taken)
    finest, fine = (F.interpolate(x, scale_factor=factor, mode="bilinear") for x, factor in ((quarter, 4), (half, 2)))
    return [finest, fine, whole, F.max_pool2d(double, 2, ceil_mode=True)]
