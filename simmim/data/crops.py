"""Random resized crops and flips that are a function of (seed, epoch, sample) only (section 4.1)."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2.functional import resized_crop

from simmim.data.bands import from_bytes, is_array
from simmim.rng import KeyedGenerator

_ATTEMPTS = 10
_STEPS = 257  # 65,535 / 255: levels of 16 bits in one of 8


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


def open_image(content: bytes, channels: int = 3) -> Image.Image | Tensor:
    """Decode a packed image.

    Returns:
        A picture of one or three 8-bit channels, or n bands [c, h, w]: uint8, or of 16 bits float32 from 0 to 255,
        which keeps all values apart.

    Raises:
        ValueError: for an image that has not so many channels.
    """
    if is_array(content):
        return _bands(from_bytes(content), channels)
    if channels not in (1, 3):
        raise ValueError(f"{channels} channels are read from pictures, which have 3 or 1: set pack.bands={channels}")
    return Image.open(io.BytesIO(content)).convert("RGB" if channels == 3 else "L")


def _bands(stored: np.ndarray, channels: int) -> Tensor:
    if len(stored) != channels:
        raise ValueError(f"{channels} channels are read, and the images have {len(stored)} bands: set images.channels")
    values = stored if stored.dtype == np.uint8 else stored.astype(np.float32) / _STEPS
    return torch.from_numpy(values)


def cut(
    image: Image.Image | Tensor, crop: Crop, image_px: tuple[int, int], interpolation: str = "bilinear"
) -> np.ndarray:
    """The crop of an image at the input size, [h, w, c]: uint8, or float32 from 0 to 255 for an image of 16 bits."""
    box = crop.top, crop.left, crop.height, crop.width
    pixels = pixels_of(resized_crop(image, *box, list(image_px), interpolation=InterpolationMode(interpolation)))
    return pixels[:, ::-1] if crop.flip else pixels


def pixels_of(image: Image.Image | Tensor) -> np.ndarray:
    """A decoded image as [h, w, c]."""
    if isinstance(image, Tensor):
        return image.clamp(0, 255).permute(1, 2, 0).numpy()  # cubic resizing goes beyond the range
    pixels = np.asarray(image)
    return pixels[:, :, None] if pixels.ndim == 2 else pixels
