"""Colours as classes: equal-sized bins of every channel's 8-bit range (section 4.1.5, Tables 5 and 13)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from simmim.targets._resolution import averaged, enlarged


@dataclass(frozen=True)
class Bins:
    """Which bin every channel's 8-bit value lies in.

    What a linear head costs grows with bins times resolution: for Swin-B, 256 bins at 192 x 192 are 805 M parameters
    of the head (13 GB with gradients and AdamW's moments), and every image has 57 MB of logits in bf16 and twice that
    in the backward pass. The paper prints N/A there, and for 32 bins at 192 x 192 (101 M, 7 MB).

    Args:
        image_channels: channels of the images.
        bins: number of bins, 2 to 256; bin i of n holds the values from 256 i / n up to below 256 (i + 1) / n.
        resolution_px: rows that the image is brought to by averaging first; None keeps every pixel.
    """

    image_channels: int
    bins: int = 8
    resolution_px: int | None = None
    losses: ClassVar[tuple[str, ...]] = ("cross_entropy",)
    in_pixel_units: ClassVar[bool] = False
    cell_multiple: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if self.image_channels not in (1, 3):
            raise ValueError(
                f"target=bins takes RGB or grey, the images have {self.image_channels} channels; use target=pixels"
            )
        if not 2 <= self.bins <= 256:
            raise ValueError(f"target.bins {self.bins} must lie in 2 to 256")

    @property
    def channels(self) -> int:
        """Channels that the head must predict: the logits of every bin of every channel."""
        return self.image_channels * self.bins

    def __call__(self, pixels: Tensor, normalised: Tensor) -> Tensor:
        """[b, c, H, W], from 0 to 255 -> bin numbers, int64 [b, c, h, w]."""
        values = averaged(pixels.float(), self.resolution_px).round().clamp(0, 255)  # 8-bit
        return values.long() * self.bins // 256

    def to_pixels(self, prediction: Tensor, normalised: Tensor, normalise: Callable[[Tensor], Tensor]) -> Tensor:
        """Logits [b, c * bins, h, w] -> the expected bin centre, [b, c, H, W]."""
        shares = prediction.unflatten(1, (-1, self.bins)).softmax(2)  # [b, c, bins, h, w]
        centres = (torch.arange(self.bins, device=shares.device) + 0.5) * 256 / self.bins - 0.5
        return enlarged(normalise(torch.einsum("bcnhw,n->bchw", shares, centres)), normalised)
