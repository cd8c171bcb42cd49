"""COCO instance segmentation from an encoder: the task, its data and its score (appendix B)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from simmim.data.dense import DetectionSet
from simmim.data.shards import Shards
from simmim.evaluate import coco_score
from simmim.evaluate.dense_settings import DetectSettings
from simmim.evaluate.detector import Detector

Row = tuple[str, str, float]


def build_task(encoder: nn.Module, header: Mapping[str, Any], settings: DetectSettings, classes: list[str]) -> Detector:
    """A detector on an encoder; `header` is what `load_encoder` returned (its `mean` and `std` are used)."""
    return Detector(encoder, header["mean"], header["std"], len(classes), settings)


def dataset(shards: Shards, settings: DetectSettings, seed: int, training: bool) -> DetectionSet:
    """Augmented batches for training, whole images for scoring."""
    return DetectionSet(
        shards,
        image_px=settings.image_px,
        scale_jitter=settings.scale_jitter,
        flip=settings.flip,
        seed=seed,
        training=training,
    )


def score(task: Detector, shards: Shards, settings: DetectSettings, device: torch.device) -> list[Row]:
    """Box and mask AP in percent over a whole packed set: (metric, class or "", value)."""
    task.to(device).eval()
    images = dataset(shards, settings, seed=0, training=False)
    found = []
    for first in range(0, len(images), settings.score_batch):
        keys = [(0, index) for index in range(first, min(first + settings.score_batch, len(images)))]
        batch = images.__getitems__(keys)
        predictions = task.predict(batch | {"images": batch["images"].to(device)})
        for index, prediction in zip(batch["samples"], predictions):
            found += coco_score.detections(index, prediction)
    truth = coco_score.ground_truth(shards)
    rows = [row for kind in ("box", "mask") for row in coco_score.average_precision(truth, found, kind)]
    return [(metric, detail, 100 * value) for metric, detail, value in rows]
