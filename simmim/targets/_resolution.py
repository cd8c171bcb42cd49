"""Images at the resolution of a target and back."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def averaged(images: Tensor, resolution_px: int | None) -> Tensor:
    """[b, c, H, W] -> the same brought to `resolution_px` rows by averaging squares; None leaves it alone."""
    return functional.avg_pool2d(images, images.shape[2] // resolution_px) if resolution_px else images


def enlarged(cells: Tensor, images: Tensor) -> Tensor:
    """[b, c, h, w] -> every cell as a square of pixels, [b, c, H, W] of `images`."""
    return functional.interpolate(cells, images.shape[2:], mode="nearest")
