"""A packed COCO set as a map-style data set of augmented batches (appendix C)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from simmim.data import coco_objects
from simmim.data.dense import Colour, DenseSet
from simmim.data.placement import Placement, fit_long_side
from simmim.data.requirements import require_masks
from simmim.data.shards import Shards
from simmim.rng import Key


class DetectionSet(DenseSet):
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
        self,
        shards: Shards,
        *,
        image_px: int,
        scale_jitter: tuple[float, float],
        flip: float,
        padding: Colour,
        seed: int,
        training: bool,
    ) -> None:
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
