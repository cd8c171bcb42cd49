"""Random resized crops and flips that are a function of (seed, epoch, sample) only (section 4.1)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from simmim.data.pixels import resized
from simmim.rng import KeyedGenerator

_ATTEMPTS = 10


@dataclass(frozen=True)
class Crop:
    """A box in pixels of the source image, and whether to mirror it."""

    top: int
    left: int
    height: int
    width: int
    flip: bool


def draw_crops(
    sizes: np.ndarray, scale: tuple[float, float], ratio: tuple[float, float], flip: float, generator: KeyedGenerator
) -> list[Crop]:
    """One crop per image by torchvision's rule: ten tries of area and aspect, else the largest central crop.

    Args:
        sizes: height and width of every image, [n, 2].
        scale: area of the crop as a share of the image's.
        ratio: width over height, drawn log-uniformly.
        flip: probability of mirroring.
    """
    draws = generator.uniform(2 * _ATTEMPTS + 3)  # [n, draws]
    area = sizes.prod(axis=1, keepdims=True) * (scale[0] + (scale[1] - scale[0]) * draws[:, :_ATTEMPTS])
    aspect = np.exp(np.log(ratio[0]) + np.log(ratio[1] / ratio[0]) * draws[:, _ATTEMPTS : 2 * _ATTEMPTS])
    width, height = np.rint(np.sqrt(area * aspect)), np.rint(np.sqrt(area / aspect))  # [n, attempts]
    fits = (width >= 1) & (width <= sizes[:, 1:]) & (height >= 1) & (height <= sizes[:, :1])
    first = fits.argmax(axis=1)
    crops = []
    for row, (image_height, image_width) in enumerate(sizes.tolist()):
        if fits[row, first[row]]:
            h, w = int(height[row, first[row]]), int(width[row, first[row]])
            top = int(draws[row, -3] * (image_height - h + 1))
            left = int(draws[row, -2] * (image_width - w + 1))
        else:
            top, left, h, w = _central_box(image_height, image_width, ratio)
        crops.append(Crop(top, left, h, w, bool(draws[row, -1] < flip)))
    return crops


def _central_box(height: int, width: int, ratio: tuple[float, float]) -> tuple[int, int, int, int]:
    h = min(height, round(width / ratio[0]))
    w = min(width, round(height * ratio[1]))
    return (height - h) // 2, (width - w) // 2, h, w


def cut(image: Tensor, crop: Crop, image_px: tuple[int, int], interpolation: str = "bilinear") -> Tensor:
    """The crop of an image [c, h, w] at the input size, [c, H, W] of the same type."""
    box = image[:, crop.top : crop.top + crop.height, crop.left : crop.left + crop.width]
    pixels = resized(box, image_px, interpolation)
    return pixels.flip(2) if crop.flip else pixels
