"""Batches for pre-training: uint8 crops and the mask of each, drawn per (seed, epoch, sample)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from simmim.config.sections import ImagesSection
from simmim.data.crops import Crop, cut, draw_crops
from simmim.data.device_crops import uncut
from simmim.data.pixels import batch_of, open_image, resized
from simmim.data.shards import Shards
from simmim.geometry import Geometry
from simmim.rng import Key, KeyedGenerator


class PretrainingImages(Dataset):
    """Unlabelled images with a mask each.

    Args:
        mask: a mask component: `sample(n, grid, generator) -> bool [n, *grid]`.
        seed: of crops and masks; equal seeds give equal batches for any number of workers or processes.
        channels: of the images; pictures are read as 1 (grey) or 3 (RGB).

    Raises:
        ValueError: for crops on the device of images that are no pictures.
    """

    def __init__(self, shards: Shards, images: ImagesSection, mask: Any, geometry: Geometry, seed: int, channels: int):
        self._shards, self._images, self._mask = shards, images, mask
        self._geometry, self._seed, self._channels = geometry, seed, channels
        if self.crop_on == "device" and shards.bands:
            raise ValueError(f"images.crop_on=device cuts pictures, and {shards.folder} holds {shards.bands}: set host")

    @property
    def crop_on(self) -> str:
        """Where crops are cut, "host" or "device"."""
        return self._images.crop_on

    def __len__(self) -> int:
        return len(self._shards)

    @property
    def sample_ids(self) -> list[str]:
        """Names of the samples in the source."""
        return self._shards.ids

    def __getitems__(self, keys: Sequence[Key]) -> dict[str, Any]:
        """Batch of (epoch, sample) keys: `images` [b, c, H, W] as of `random_crops` and `hidden` bool [b, tokens].

        Crops that are cut on the device are `UncutImages` until they are there.
        """
        epochs, samples = np.array(keys).T
        found = _pictures_and_crops(self._shards, self._images, self._channels, self._seed, epochs, samples)
        image_px = self._geometry.image
        return {
            "images": uncut(list(found), image_px) if self.crop_on == "device" else _cut_all(found, image_px),
            "hidden": hidden_tokens(self._mask, self._geometry, self._seed, epochs, samples),
        }


def random_crops(
    shards: Shards,
    images: ImagesSection,
    image_px: tuple[int, int],
    channels: int,
    seed: int,
    epochs: np.ndarray | int,
    samples: np.ndarray,
) -> Tensor:
    """A random crop of each of some samples, uint8 [b, c, H, W]; float32 from 0 to 255 for images of 16 bits."""
    return _cut_all(_pictures_and_crops(shards, images, channels, seed, epochs, samples), image_px)


def _pictures_and_crops(
    shards: Shards, images: ImagesSection, channels: int, seed: int, epochs: np.ndarray | int, samples: np.ndarray
) -> Iterator[tuple[Tensor, Crop]]:
    """Each of some samples decoded, and what is to be cut from it."""
    draws = KeyedGenerator(seed, epochs, samples, "crop")
    crops = draw_crops(shards.sizes[samples], images.crop_scale, images.crop_ratio, images.flip, draws)
    decoded = (open_image(shards.image_bytes(sample), channels) for sample in samples.tolist())
    return zip(decoded, crops)


def _cut_all(found: Iterable[tuple[Tensor, Crop]], image_px: tuple[int, int]) -> Tensor:
    return batch_of(cut(image, crop, image_px) for image, crop in found)


def hidden_tokens(mask: Any, geometry: Geometry, seed: int, epochs: np.ndarray | int, samples: np.ndarray) -> Tensor:
    """The masks of some samples on tokens, bool [b, *geometry.tokens].

    Raises:
        ValueError: where a mask is not what `simmim.masks` says that it must be.
    """
    cells = mask.sample(len(samples), geometry.cells, KeyedGenerator(seed, epochs, samples, "mask"))
    if fault := _mask_fault(cells, (len(samples), *geometry.cells)):
        raise ValueError(f"mask={type(mask).__module__.rpartition('.')[2]} must give {fault}")
    return torch.from_numpy(geometry.cells_to_tokens(cells))


def _mask_fault(cells: Any, shape: tuple[int, int, int]) -> str:
    """What masks on cells must be and are not; "" where they are that."""
    if not isinstance(cells, np.ndarray) or cells.dtype != bool or cells.shape != shape:
        found = f"{getattr(cells, 'dtype', type(cells).__name__)} of shape {tuple(np.shape(cells))}"
        return f"a NumPy array of bool, of shape {shape}, and gives {found}"
    hidden, in_all = cells.sum((1, 2)), shape[1] * shape[2]
    if not ((hidden > 0) & (hidden < in_all)).all():
        return f"at least one hidden and one visible cell in every image, and hides 0 or all {in_all} of one"
    if len({*hidden.tolist()}) > 1:
        return f"equally many hidden cells in every image, and hides {hidden.min()} of one, {hidden.max()} of another"
    return ""


def whole_images(shards: Shards, samples: np.ndarray, image_px: tuple[int, int], channels: int) -> Tensor:
    """Whole images resized to the input, [n, c, H, W] as those of `random_crops`, without any augmentation."""
    images = (open_image(shards.image_bytes(sample), channels) for sample in samples.tolist())
    return batch_of(resized(image, image_px, "bilinear") for image in images)
