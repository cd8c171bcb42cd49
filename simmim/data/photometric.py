"""Photometric distortion of training images as the published UPerNet recipes have it (from SSD, Liu et al., 2016).

Brightness, contrast, saturation and hue are each changed with probability 1/2; contrast comes before or after
the colours.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

# Not torchvision's functions: they have no additive brightness, blend contrast and saturation with grey, and truncate.
PROBABILITY = 0.5
BRIGHTNESS = 32  # of 255 levels, added or taken away
CONTRAST = SATURATION = 0.5  # at most this much more or less than once the value
HUE = 0.1  # of the colour circle, either way
DRAWS = 9


def distorted(image: Image.Image, draws: np.ndarray) -> Image.Image:
    """An RGB image in other light; `draws` are nine uniform numbers in [0, 1)."""
    brightness, contrast, saturation, hue = (2 * draws[4:8] - 1) * (draws[:4] < PROBABILITY)  # 0 changes nothing
    contrast_first = draws[8] < 0.5
    image = image.point(lambda level: level + BRIGHTNESS * brightness)  # Pillow clips at 0 and 255
    image = _brought_to(image, 1 + CONTRAST * contrast) if contrast_first else image
    image = _recoloured(image, 1 + SATURATION * saturation, HUE * hue) if saturation or hue else image
    return image if contrast_first else _brought_to(image, 1 + CONTRAST * contrast)


def _brought_to(image: Image.Image, factor: float) -> Image.Image:
    return image.point(lambda level: level * factor)


def _recoloured(image: Image.Image, saturation: float, hue: float) -> Image.Image:
    turned, vividness, value = image.convert("HSV").split()
    turned = turned.point(lambda angle: (angle + round(256 * hue)) % 256)
    return Image.merge("HSV", (turned, _brought_to(vividness, saturation), value)).convert("RGB")
