"""Labelled batches: augmented crops for fine-tuning, centre crops for evaluation, subsets with few labels."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from PIL import Image
from timm.data.auto_augment import rand_augment_transform
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms.v2.functional import center_crop

from simmim.config.sections import scored_side_px, sides
from simmim.data.crops import Crop, cut, draw_crops
from simmim.data.pixels import batch_of, open_image, picture_of, pixels_of, resized
from simmim.data.requirements import require_labels
from simmim.data.shards import Shards
from simmim.rng import Key, KeyedGenerator, epoch_order, libraries_left_alone


class LabelledSettings(Protocol):
    """What `LabelledImages` reads of a task's settings.

    Args:
        image_px: side of the square crops, or their height and width.
        labels_per_class: labelled images used of every class; None uses all.
        crop_scale: area of a crop as a share of the image's.
        crop_ratio: its width over its height.
        flip: probability of mirroring.
        auto_augment: timm's name of a RandAugment policy, "" for none.
    """

    image_px: int | tuple[int, int]
    labels_per_class: int | None
    crop_scale: tuple[float, float]
    crop_ratio: tuple[float, float]
    flip: float
    auto_augment: str


class LabelledImages(Dataset):
    """Augmented crops with their class, by (epoch, position) keys; random numbers are keyed by (seed, epoch, sample).

    Args:
        mean: per channel in [0, 1]; RandAugment fills with it where it moves the picture away.

    Raises:
        ValueError: when images have no label, or a class has fewer than `labels_per_class`.
    """

    def __init__(self, shards: Shards, settings: LabelledSettings, seed: int, mean: Sequence[float]) -> None:
        self._shards, self._settings, self._seed, self._channels = shards, settings, seed, len(mean)
        self._samples = few_labels(shards, settings.labels_per_class, seed)
        how = {"img_mean": tuple(round(255 * value) for value in mean), "interpolation": Image.Resampling.BICUBIC}
        how["magnitude_max"] = 9.99  # at 10 timm asks for a posterisation to 0 bits, which Pillow refuses
        policy = settings.auto_augment
        if policy and shards.bands:
            raise ValueError(
                f"settings.auto_augment={policy} changes 8-bit colours, and {shards.folder} holds {shards.bands}: set "
                'settings.auto_augment=""'
            )
        self._augment = rand_augment_transform(policy, how) if policy else None

    def __len__(self) -> int:
        return len(self._samples)

    @property
    def sample_ids(self) -> list[str]:
        """Names of the samples in the source."""
        return [self._shards.ids[sample] for sample in self._samples]

    def __getitems__(self, keys: Sequence[Key]) -> dict[str, Tensor]:
        """`images` uint8 [b, c, H, W] and `labels` int64 [b]."""
        epochs, positions = np.array(keys).T
        samples = self._samples[positions]
        settings = self._settings
        draws = KeyedGenerator(self._seed, epochs, samples, "crop")
        crops = draw_crops(self._shards.sizes[samples], settings.crop_scale, settings.crop_ratio, settings.flip, draws)
        seeds = KeyedGenerator(self._seed, epochs, samples, "augment").integers(1)[:, 0] if self._augment else samples
        with libraries_left_alone():  # without workers, those of the step: mixup and erasing draw from them
            pixels = [self._cut(*each) for each in zip(samples.tolist(), crops, seeds.tolist())]
        return {
            "images": batch_of(pixels),
            "labels": torch.from_numpy(self._shards.labels[samples]),
        }

    def _cut(self, sample: int, crop: Crop, seed: int) -> Tensor:
        image = open_image(self._shards.image_bytes(sample), self._channels)
        pixels = cut(image, crop, sides(self._settings.image_px), "bicubic")
        if self._augment is None:
            return pixels
        random.seed(seed)
        np.random.seed(seed)
        return pixels_of(self._augment(picture_of(pixels)))


def few_labels(shards: Shards, per_class: int | None, seed: int) -> np.ndarray:
    """Indices of `per_class` images of every class (None: all images), drawn by the seed, in ascending order.

    Raises:
        ValueError: when images have no label, or a class has fewer than `per_class`.
    """
    require_labels(shards)
    labels = shards.labels
    if per_class is None:
        return np.arange(len(labels))
    order = epoch_order(seed, 0, len(labels))
    chosen = []
    for index, name in enumerate(shards.classes):
        mine = order[labels[order] == index]
        if len(mine) < per_class:
            raise ValueError(f"class '{name}' of {shards.folder} has {len(mine)} images, labels_per_class={per_class}")
        chosen.append(mine[:per_class])
    return np.sort(np.concatenate(chosen))


class ScoringImages(Dataset):
    """Labelled images under the evaluation view, by their place in the shards; arguments as `scoring_images`."""

    def __init__(self, shards: Shards, image_px: int | tuple[int, int], crop: float, channels: int) -> None:
        self._shards, self._view = shards, (image_px, crop, channels)

    def __getitems__(self, samples: Sequence[int]) -> dict[str, Tensor]:
        """`images` uint8 [n, c, H, W] and `labels` int64 [n]."""
        labels = torch.from_numpy(self._shards.labels[samples])
        return {"images": scoring_images(self._shards, samples, *self._view), "labels": labels}


def scoring_images(
    shards: Shards, samples: Sequence[int], image_px: int | tuple[int, int], crop: float, channels: int
) -> Tensor:
    """The evaluation view of some images, uint8 [n, c, H, W]; float32 from 0 to 255 for images of 16 bits."""
    images = (open_image(shards.image_bytes(int(sample)), channels) for sample in samples)
    return batch_of(scoring_view(image, image_px, crop) for image in images)


def scoring_view(image: Tensor, image_px: int | tuple[int, int], crop: float) -> Tensor:
    """An image resized (bicubic) so that its centre crop, as large as can be, keeps `crop` of a side, [c, H, W]."""
    whole = resized(image, _covering(image.shape[1:], sides(image_px), crop), "bicubic")
    return center_crop(whole, list(sides(image_px)))


def _covering(size: Sequence[int], image_px: tuple[int, int], crop: float) -> tuple[int, int]:
    """Height and width, with the proportions of `size`, of which a central `image_px` keeps `crop` of a side."""
    (height, width), (rows, columns) = size, (scored_side_px(side, crop) for side in image_px)
    if rows * width >= columns * height:  # the height decides
        return rows, max(columns, int(rows * width / height))
    return max(rows, int(columns * height / width)), columns
