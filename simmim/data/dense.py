"""What packed COCO and ADE20K sets share as map-style data sets of augmented batches (appendix C).

Every random choice is keyed by (seed, epoch, sample), so a sample's view does not depend on its neighbours in a batch.
"""

from __future__ import annotations

import functools
import io
from abc import abstractmethod
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset

from simmim.data.placement import Placement, random_placement
from simmim.data.shards import Shards
from simmim.rng import Key, KeyedGenerator

Colour = Sequence[float]  # red, green and blue in [0, 1]


class DenseSet(Dataset):
    """The choice of samples, and how one is placed on the canvas; `detection` and `segmentation` build on it."""

    def __init__(
        self,
        shards: Shards,
        image_px: int,
        scales: tuple[float, float],
        flip: float,
        padding: Colour,
        seed: int,
        training: bool,
    ) -> None:
        if shards.bands:
            raise ValueError(f"{shards.folder} holds {shards.bands}, dense tasks read RGB: pack it without pack.bands")
        self._shards, self._image_px, self._training = shards, image_px, training
        self._scales, self._flip, self._seed = scales, flip, seed
        self._padding = tuple(round(255 * channel) for channel in padding)
        self._kept = [index for index in range(len(shards)) if not training or self._is_useful(index)]

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
