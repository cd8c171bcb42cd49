"""Pixels relative to their surroundings, the target of SwinV2's pre-training (arXiv 2111.09883; not in the paper)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

_EPSILON = 1e-6


@dataclass(frozen=True)
class NormalisedPixels:
    """Every channel less its local mean, over its local standard deviation (n - 1).

    Only pixels of the image count in a window; nothing is padded.

    Args:
        image_channels: channels of the images.
        window_px: side of the square around a pixel, odd (47 in SwinV2's recipe).
    """

    image_channels: int
    window_px: int = 47
    resolution_px: ClassVar[int | None] = None
    losses: ClassVar[tuple[str, ...]] = ("l1", "l2", "smooth_l1")
    in_pixel_units: ClassVar[bool] = False
    cell_multiple: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if self.window_px < 3 or self.window_px % 2 == 0:
            raise ValueError(f"target.window_px {self.window_px} must be odd and at least 3")

    @property
    def channels(self) -> int:
        """Channels that the head must predict."""
        return self.image_channels

    def __call__(self, pixels: Tensor, normalised: Tensor) -> Tensor:
        """[b, c, H, W], normalised -> the same shape."""
        mean, deviation = self._surroundings(normalised)
        return (normalised - mean) / deviation

    def to_pixels(self, prediction: Tensor, normalised: Tensor, normalise: Callable[[Tensor], Tensor]) -> Tensor:
        """A picture that takes local mean and contrast from the true image, which the model does not predict."""
        mean, deviation = self._surroundings(normalised)
        return prediction * deviation + mean

    def _surroundings(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation around every pixel, each [b, c, H, W]."""
        mean = _local_mean(images, self.window_px, padding_counts=False)
        share = _local_mean(torch.ones_like(images[:1, :1]), self.window_px, padding_counts=True)
        count = share * self.window_px**2  # pixels of the image in the window
        variance = (_local_mean(images.square(), self.window_px, padding_counts=False) - mean.square()).clamp(min=0)
        return mean, (variance * count / (count - 1) + _EPSILON).sqrt()


def _local_mean(images: Tensor, window: int, padding_counts: bool) -> Tensor:
    """Mean over a square around every pixel: along the columns, then along the rows."""
    half = window // 2
    down = functional.avg_pool2d(images, (window, 1), 1, (half, 0), count_include_pad=padding_counts)
    return functional.avg_pool2d(down, (1, window), 1, (0, half), count_include_pad=padding_counts)
