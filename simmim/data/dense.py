"""Packed COCO and ADE20K sets as map-style data sets of augmented batches (appendix B).

Every random choice is keyed by (seed, epoch, sample), so a sample's view does not depend on its neighbours in a batch.
"""

from __future__ import annotations

import functools
import io
import itertools
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset

from simmim.data import coco_objects, photometric
from simmim.data.placement import Placement, fit_long_side, fit_short_side, random_placement
from simmim.data.requirements import require_masks
from simmim.data.shards import Shards
from simmim.rng import KeyedGenerator

Key = tuple[int, int]  # epoch, index in the data set
Colour = Sequence[float]  # red, green and blue in [0, 1]
IGNORED = 255
_WINDOWS = 11  # tried at most, in mmsegmentation: a first one and ten better ones


class _DenseSet(Dataset):
    """What detection and segmentation share: the choice of samples and how one is placed on the canvas."""

    def __init__(
        self, shards: Shards, image_px: int, scales: tuple[float, float], flip: float, padding: Colour, seed: int,
        training: bool,
    ) -> None:  # fmt: skip
        self._shards, self._image_px, self._training = shards, image_px, training
        self._scales, self._flip, self._seed = scales, flip, seed
        self._padding = tuple(round(255 * channel) for channel in padding)
        self._kept = [index for index in range(len(shards)) if not training or self._is_useful(index)]
        if not self._kept:
            raise ValueError(f"none of the {len(shards)} images in {shards.folder} has anything to train on")

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def sample_ids(self) -> list[str]:
        """Name of every image in its source."""
        return [self._shards.ids[index] for index in self._kept]

    def _is_useful(self, index: int) -> bool:
        """Whether a stored image takes part in training."""
        return True

    @abstractmethod
    def _scaled(self, stored: tuple[int, int], scale: float) -> tuple[int, int]:
        """Height and width at which an image is shown when the jitter is `scale`."""

    @abstractmethod
    def _whole(self, stored: tuple[int, int]) -> Placement:
        """How an image is shown for scoring."""

    def _load(self, key: Key) -> tuple[int, torch.Tensor, bytes | None, Placement]:
        """Index in the shards, image on its canvas uint8 [3, H, W], annotation, placement."""
        epoch, index = key[0], self._kept[key[1]]
        content, annotation = self._shards.sample(index)
        image = Image.open(io.BytesIO(content)).convert("RGB")
        stored = image.height, image.width
        if self._training:
            placement = self._chosen(self._windows(stored, epoch, index), annotation)
        else:
            placement = self._whole(stored)
        recolour = functools.partial(self._recoloured, epoch=epoch, index=index)
        return index, torch.from_numpy(placement.image(image, self._padding, recolour)), annotation, placement

    def _windows(self, stored: tuple[int, int], epoch: int, index: int) -> Iterator[Placement]:
        """Endless square windows on an image at one random scale, in the order in which they are tried."""
        draws = KeyedGenerator(self._seed, epoch, np.array([index]), "dense view")
        scale, row, column, mirror = draws.uniform(4)[0]
        low, high = self._scales
        scaled = self._scaled(stored, low + (high - low) * scale)
        while True:
            yield random_placement(stored, scaled, self._image_px, (row, column), mirrored=bool(mirror < self._flip))
            row, column = draws.uniform(2)[0]

    def _chosen(self, windows: Iterator[Placement], annotation: bytes | None) -> Placement:
        return next(windows)

    def _recoloured(self, picture: Image.Image, epoch: int, index: int) -> Image.Image:
        return picture


class DetectionSet(_DenseSet):
    """Images with object boxes and masks.

    Training shows a square window on an image fitted into `image_px` times a random scale (large-scale jitter), and
    drops crowd regions and images without any other object. Scoring shows every image whole, fitted into `image_px`.
    Both refuse a set with objects that have a box and no mask.

    Args:
        shards: with COCO objects as annotations.
        scale_jitter: range of the random scale.
        flip: probability of mirroring.
        padding: colour beside the picture, best the mean the images will be normalised with.
    """

    def __init__(
        self, shards: Shards, *, image_px: int, scale_jitter: tuple[float, float], flip: float, padding: Colour,
        seed: int, training: bool,
    ) -> None:  # fmt: skip
        require_masks(shards)
        super().__init__(shards, image_px, scale_jitter, flip, padding, seed, training)

    def __getitems__(self, keys: Sequence[Key]) -> dict[str, Any]:
        """A batch of b keys (epoch, index).

        Returns:
            `images` uint8 [b, 3, H, W]; `targets`, b dicts of `boxes` float32 [n, 4], `labels` int64 [n] from 1,
            `masks` uint8 [n, H, W]; `samples`, indices in the shards; `shown_sizes` and `stored_sizes`, (h, w) of the
            picture in the upper left of the canvas and of the stored image.
        """
        loaded = [self._load(key) for key in keys]
        return {
            "images": torch.stack([image for _, image, _, _ in loaded]),
            "targets": [_target(annotation, placement) for _, _, annotation, placement in loaded],
            "samples": [index for index, *_ in loaded],
            "shown_sizes": [placement.shown for *_, placement in loaded],
            "stored_sizes": [placement.stored for *_, placement in loaded],
        }

    def _is_useful(self, index: int) -> bool:
        return any(map(coco_objects.is_trainable, coco_objects.objects(self._shards.annotation(index))))

    def _scaled(self, stored: tuple[int, int], scale: float) -> tuple[int, int]:
        return fit_long_side(stored, self._image_px * scale)

    def _whole(self, stored: tuple[int, int]) -> Placement:
        return Placement(stored, fit_long_side(stored, self._image_px), (self._image_px, self._image_px))


class SegmentationSet(_DenseSet):
    """Images with a class for every pixel.

    Training shows a random square window on an image whose short side is `image_px` times a random scale.
    Scoring shows every image whole with short side `image_px` times one scale; a batch then needs images of one stored
    size.

    Args:
        shards: with label maps as annotations (PNG; 0 = ignored, 1 to K).
        scale_range: range of the random scale.
        long_side_limit: the longer side never exceeds this many times the wanted short side.
        flip: probability of mirroring.
        max_class_share: another window is tried, ten times at most, while one class has this share of the labelled
            pixels; 1 takes the first.
        distort_colours: show training images in other light (`simmim.data.photometric`).
        padding: colour beside the picture, best the mean the images will be normalised with.
        score_scale: scale of the whole image for scoring.
    """

    def __init__(
        self, shards: Shards, *, image_px: int, scale_range: tuple[float, float], long_side_limit: float, flip: float,
        max_class_share: float, distort_colours: bool, padding: Colour, seed: int, training: bool,
        score_scale: float = 1.0,
    ) -> None:  # fmt: skip
        self._long_side_limit, self._score_scale = long_side_limit, score_scale
        self._max_class_share, self._distort_colours = max_class_share, distort_colours and training
        super().__init__(shards, image_px, scale_range, flip, padding, seed, training)

    def __getitems__(self, keys: Sequence[Key]) -> dict[str, Any]:
        """A batch of b keys (epoch, index).

        Returns:
            `images` uint8 [b, 3, H, W]; `labels` int64 from 0, 255 = ignored: [b, H, W] for training, [b, h, w] of
            the stored images for scoring; `samples`, indices in the shards.
        """
        loaded = [self._load(key) for key in keys]
        labels = [_labels(annotation, placement, self._training) for _, _, annotation, placement in loaded]
        return {
            "images": torch.stack([image for _, image, _, _ in loaded]),
            "labels": torch.from_numpy(np.stack(labels)).long(),
            "samples": [index for index, *_ in loaded],
        }

    def _scaled(self, stored: tuple[int, int], scale: float) -> tuple[int, int]:
        return fit_short_side(stored, self._image_px * scale, self._long_side_limit)

    def _whole(self, stored: tuple[int, int]) -> Placement:
        scaled = self._scaled(stored, self._score_scale)
        return Placement(stored, scaled, scaled)

    def _chosen(self, windows: Iterator[Placement], annotation: bytes) -> Placement:
        if self._max_class_share == 1:
            return next(windows)
        labels = label_map(annotation)
        for window in itertools.islice(windows, _WINDOWS):
            if largest_share(window.labels(labels, IGNORED)) < self._max_class_share:
                break
        return window

    def _recoloured(self, picture: Image.Image, epoch: int, index: int) -> Image.Image:
        if not self._distort_colours:
            return picture
        draws = KeyedGenerator(self._seed, epoch, np.array([index]), "photometric").uniform(photometric.DRAWS)
        return photometric.distorted(picture, draws[0])


def label_map(annotation: bytes) -> np.ndarray:
    """Stored label map -> uint8 [h, w] of classes from 0, 255 = ignored."""
    stored = np.asarray(Image.open(io.BytesIO(annotation)))
    return stored - np.uint8(1)  # 0 becomes 255


def largest_share(labels: np.ndarray) -> float:
    """Share of the most frequent class among the labelled pixels; 1 where none is labelled."""
    counts = np.bincount(labels[labels != IGNORED])
    return counts.max() / counts.sum() if len(counts) else 1.0


def _labels(annotation: bytes, placement: Placement, placed: bool) -> np.ndarray:
    labels = label_map(annotation)
    return placement.labels(labels, IGNORED) if placed else labels


def _target(annotation: bytes | None, placement: Placement) -> dict[str, torch.Tensor]:
    """Objects as they stand on the canvas; those of which nothing is left in sight are dropped."""
    entries = list(filter(coco_objects.is_trainable, coco_objects.objects(annotation)))
    masks = placement.labels(coco_objects.masks(entries, placement.stored), padding=0)  # [n, H, W]
    in_sight = masks.any(axis=(1, 2))
    labels = np.array([entry["category_id"] for entry in entries], dtype=np.int64)
    return {
        "boxes": torch.from_numpy(coco_objects.boxes_around(masks[in_sight])),
        "labels": torch.from_numpy(labels[in_sight]),
        "masks": torch.from_numpy(masks[in_sight]),
    }
