"""The paper's default prediction head: one linear layer (section 3.3)."""

from __future__ import annotations

from torch import Tensor, nn


class Linear(nn.Module):
    """1x1 convolution to `stride` x `stride` pixels per feature, then pixel shuffle.

    Args:
        width: channels of the encoder's output.
        stride: pixels per side that one feature stands for.
        channels: channels of the target.
    """

    def __init__(self, *, width: int, stride: int, channels: int) -> None:
        super().__init__()
        self.projection = nn.Conv2d(width, channels * stride**2, kernel_size=1)
        self.shuffle = nn.PixelShuffle(stride)

    def forward(self, features: Tensor) -> Tensor:
        """[b, width, h, w] -> [b, channels, h * stride, w * stride]."""
        return self.shuffle(self.projection(features))
