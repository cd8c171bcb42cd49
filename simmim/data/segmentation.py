"""A packed ADE20K set as a map-style data set of augmented batches (appendix C)."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset

from simmim.data import photometric
from simmim.data.dense import Colour, DenseSet
from simmim.data.placement import Placement, fit_short_side
from simmim.data.shards import Shards
from simmim.rng import Key, KeyedGenerator

IGNORED = 255
_WINDOWS = 11  # tried at most, in mmsegmentation: a first one and ten better ones


class SegmentationSet(DenseSet):
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
        self,
        shards: Shards,
        *,
        image_px: int,
        scale_range: tuple[float, float],
        long_side_limit: float,
        flip: float,
        max_class_share: float,
        distort_colours: bool,
        padding: Colour,
        seed: int,
        training: bool,
        score_scale: float = 1.0,
    ) -> None:
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


class SegmentationViews(Dataset):
    """Whole images of one stored size at every scale.

    Args:
        views: the same images, by scale.
    """

    def __init__(self, views: Mapping[float, SegmentationSet]) -> None:
        self._views = views

    def __getitems__(self, samples: Sequence[int]) -> dict[str, Any]:
        """`labels` int64 [b, h, w], `images` uint8 [b, 3, H, W] by scale."""
        keys = [(0, index) for index in samples]
        batches = {scale: images.__getitems__(keys) for scale, images in self._views.items()}
        return {"labels": batches[1]["labels"], "images": {scale: each["images"] for scale, each in batches.items()}}


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
