"""The window block that Swin encoders and inverse Swin heads are made of.

Shapes: b images, h w tokens, n tokens of a window, d channels.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
import torch.nn.functional as F
from timm.models.swin_transformer import SwinTransformerBlock, window_partition, window_reverse
from torch import Tensor
from torch.utils._python_dispatch import _get_current_dispatch_mode


class PadFirst:
    """Window attention with the padding before the cyclic shift, as published; timm's blocks pad after it.

    Without this, rows that the shift wraps round share a window with rows they must not see wherever the window does
    not divide the tokens (timm issue 2438).
    """

    def _attn(self, x: Tensor) -> Tensor:
        height, width = x.shape[1:3]
        (window_h, window_w), shift = self.window_size, self._shift(height, width)
        x = F.pad(x, (0, 0, 0, -width % window_w, 0, -height % window_h))  # [b, h', w', d]
        padded = x.shape[1:3]
        mask = None
        if any(shift):
            x = torch.roll(x, (-shift[0], -shift[1]), dims=(1, 2))
            mask = shift_mask(*padded, self.window_size, shift, x.dtype, x.device)
        windows = window_partition(x, self.window_size).flatten(1, 2)  # [b * windows, n, d]
        windows = self.attn(windows, mask=mask).unflatten(1, self.window_size)
        x = window_reverse(windows, self.window_size, *padded)
        if any(shift):
            x = torch.roll(x, shift, dims=(1, 2))
        return x[:, :height, :width]

    def _shift(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns by which a map of this size is shifted."""
        return self.shift_size


class PadFirstBlock(PadFirst, SwinTransformerBlock):
    """timm's Swin block that pads first."""


def shift_mask(
    height: int, width: int, window: tuple[int, int], shift: tuple[int, int], dtype: torch.dtype, device: torch.device
) -> Tensor:
    """Additive mask [windows, n, n]: -100 between tokens that only the cyclic shift made neighbours."""
    # A mask that is made while a mode watches (tensors without content, say) must not be kept for other tensors; in a
    # compiled block it is part of the graph.
    if torch.compiler.is_compiling() or _get_current_dispatch_mode() is not None:
        return _made_mask(height, width, window, shift, dtype, device)
    return _kept_mask(height, width, window, shift, dtype, device)


@functools.lru_cache(maxsize=64)
def _kept_mask(*arguments: Any) -> Tensor:
    with torch.inference_mode(False):  # the cached mask must also serve a later training step
        return _made_mask(*arguments)


def _made_mask(
    height: int, width: int, window: tuple[int, int], shift: tuple[int, int], dtype: torch.dtype, device: torch.device
) -> Tensor:
    rows = _region(height, window[0], shift[0], device)
    columns = _region(width, window[1], shift[1], device)
    region = (3 * rows[:, None] + columns[None]).view(1, height, width, 1)
    region = window_partition(region, window).flatten(1)  # [windows, n]
    return (region[:, None] != region[:, :, None]).to(dtype) * -100.0


def _region(length: int, window: int, shift: int, device: torch.device) -> Tensor:
    """0 for all windows but the last, 1 and 2 for the two parts the shift brings together in the last one."""
    place = torch.arange(length, device=device)
    return (place >= length - window).int() + (place >= length - shift).int()
