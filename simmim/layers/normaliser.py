"""Images as they are stored, and as networks see them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class ImageNormaliser(nn.Module):
    """Images [b, c, H, W], uint8 or float from 0 to 255 -> float32 with about zero mean and unit variance.

    Args:
        mean, std: per channel, of images in [0, 1].
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.mean = tuple(mean)
        self.register_buffer("_mean", 255 * torch.tensor(mean, dtype=torch.float32)[:, None, None], persistent=False)
        self.register_buffer("_std", 255 * torch.tensor(std, dtype=torch.float32)[:, None, None], persistent=False)

    @property
    def channels(self) -> int:
        """Channels of the images."""
        return len(self.mean)

    @property
    def device(self) -> torch.device:
        """Where the images have to be."""
        return self._mean.device

    def forward(self, images: Tensor) -> Tensor:
        """uint8 [b, c, H, W], or float of the same range 0 to 255 -> float32 [b, c, H, W]."""
        return (images.float() - self._mean) / self._std

    def values(self, normalised: Tensor) -> Tensor:
        """Back to the range 0 to 255, float32, neither rounded nor clipped."""
        return normalised.float() * self._std + self._mean

    def undo(self, normalised: Tensor, dtype: torch.dtype = torch.uint8) -> Tensor:
        """Back to the range 0 to 255, clipped to it; rounded where the images have 8 bits."""
        values = self.values(normalised).clamp(0, 255)
        return values.round().byte() if dtype == torch.uint8 else values
