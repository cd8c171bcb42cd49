"""The two-layer MLP of the paper's comparison of prediction heads (section 3.3, Table 2)."""

from __future__ import annotations

from torch import Tensor, nn


class MLP(nn.Module):
    """1x1 convolution that keeps the width, GELU, then what the linear head does: 1x1 convolution and pixel shuffle.

    The paper does not give the hidden width. The encoder's own width makes Swin-B 90.9 M parameters, as printed.

    Args:
        width: channels of the encoder's output, and of the hidden layer.
        stride: pixels per side that one feature stands for.
        channels: channels of the target.
    """

    def __init__(self, *, width: int, stride: int, channels: int) -> None:
        super().__init__()
        self.hidden = nn.Conv2d(width, width, kernel_size=1)
        self.activation = nn.GELU()
        self.projection = nn.Conv2d(width, channels * stride**2, kernel_size=1)
        self.shuffle = nn.PixelShuffle(stride)

    def forward(self, features: Tensor) -> Tensor:
        """[b, width, h, w] -> [b, channels, h * stride, w * stride]."""
        return self.shuffle(self.projection(self.activation(self.hidden(features))))
