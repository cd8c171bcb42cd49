"""Batches of several augmented views of each image, for methods that compare views (DINO, MoCo v3; Table 6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torchvision.transforms.v2.functional as F
from PIL import Image, ImageFilter, ImageOps
from torch import Tensor
from torch.utils.data import Dataset

from simmim.config.sections import ImagesSection
from simmim.data.crops import cut, draw_crops
from simmim.data.pixels import batch_of, open_image, picture_of, pixels_of
from simmim.data.shards import Shards
from simmim.rng import Key, KeyedGenerator

# Both methods take these from BYOL (2006.07733, appendix B); blur in pixels of the view.
JITTER_PROBABILITY, GREY_PROBABILITY = 0.8, 0.2
BRIGHTNESS, CONTRAST, SATURATION, HUE = 0.4, 0.4, 0.2, 0.1
BLUR_SIGMA_PX = 0.1, 2.0
SOLARISE_ABOVE = 128
_DRAWS = 13


@dataclass(frozen=True)
class View:
    """How one view of an image is made: crop, flip, colour jitter, greyscale, blur, solarisation.

    Args:
        image_px: height and width.
        blur, solarise: probabilities.
        crop_scale: area of the crop as a share of the image; None takes the one of section `images`.
        interpolation: of the crop, "bicubic" or "bilinear".
    """

    image_px: tuple[int, int]
    blur: float
    solarise: float = 0.0
    crop_scale: tuple[float, float] | None = None
    interpolation: str = "bicubic"


class ViewImages(Dataset):
    """Unlabelled images as groups of views.

    Args:
        views: groups by name; the views of a group have one size.
        images: ratio and flip of every crop, and the scale of those views that have none of their own.
        seed: equal seeds give equal views for any number of workers or processes.
        channels: 1 or 3.
    """

    def __init__(
        self, shards: Shards, views: Mapping[str, Sequence[View]], images: ImagesSection, seed: int, channels: int
    ) -> None:
        if shards.bands:
            raise ValueError(f"views change 8-bit colours, and {shards.folder} holds {shards.bands}: use method=simmim")
        images.require_host("views")
        self._shards, self._views, self._settings = shards, views, images
        self._seed, self._channels = seed, channels

    def __len__(self) -> int:
        return len(self._shards)

    @property
    def sample_ids(self) -> list[str]:
        """Names of the samples in the source."""
        return self._shards.ids

    def __getitems__(self, keys: Sequence[Key]) -> dict[str, Tensor]:
        """Batch of (epoch, sample) keys: every group as uint8 [b, views, c, H, W]."""
        epochs, samples = np.array(keys).T
        images = [open_image(self._shards.image_bytes(sample), self._channels) for sample in samples.tolist()]
        groups: dict[str, list[Tensor]] = {name: [] for name in self._views}
        for name, views in self._views.items():
            for place, view in enumerate(views):
                draws = KeyedGenerator(self._seed, epochs, samples, f"{name} view {place}")
                groups[name].append(self._view(images, self._shards.sizes[samples], view, draws))
        return {name: torch.stack(views, dim=1) for name, views in groups.items()}

    def _view(self, images: list[Tensor], sizes: np.ndarray, view: View, draws: KeyedGenerator) -> Tensor:
        """One view of every image, uint8 [b, c, H, W]."""
        settings = self._settings
        scale = view.crop_scale or settings.crop_scale
        crops = draw_crops(sizes, scale, settings.crop_ratio, settings.flip, draws)
        return batch_of(
            recoloured(cut(image, crop, view.image_px, view.interpolation), view, numbers)
            for image, crop, numbers in zip(images, crops, draws.uniform(_DRAWS).tolist())
        )


def recoloured(pixels: Tensor, view: View, draws: Sequence[float]) -> Tensor:
    """A crop, uint8 [c, h, w], after everything that does not move pixels; `draws` are 13 uniform numbers."""
    jitter, grey, blur, sigma, solarise, *factors = draws
    image = picture_of(pixels)
    if jitter < JITTER_PROBABILITY:
        image = _jittered(image, factors[:4], factors[4:])
    if grey < GREY_PROBABILITY:
        image = image.convert("L").convert(image.mode)
    if blur < view.blur:
        low, high = BLUR_SIGMA_PX
        image = image.filter(ImageFilter.GaussianBlur(low + (high - low) * sigma))
    if solarise < view.solarise:
        image = ImageOps.solarize(image, SOLARISE_ABOVE)
    return pixels_of(image)


def _jittered(image: Image.Image, order: Sequence[float], factors: Sequence[float]) -> Image.Image:
    """Brightness, contrast, saturation and hue changed in a random order."""
    brightness, contrast, saturation, hue = (2 * factor - 1 for factor in factors)  # in [-1, 1)
    changes = [
        lambda image: F.adjust_brightness(image, 1 + BRIGHTNESS * brightness),
        lambda image: F.adjust_contrast(image, 1 + CONTRAST * contrast),
        lambda image: F.adjust_saturation(image, 1 + SATURATION * saturation),
        lambda image: F.adjust_hue(image, HUE * hue),
    ]
    for index in np.argsort(order):
        image = changes[index](image)
    return image
