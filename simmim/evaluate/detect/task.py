"""COCO instance segmentation from an encoder: the task, its data and its score (appendix B)."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from simmim.data.dense import DetectionSet
from simmim.data.shards import Shards
from simmim.evaluate.detect import coco_score
from simmim.evaluate.detect.detector import Detector
from simmim.evaluate.detect.settings import DetectSettings
from simmim.evaluate.gather import copy_buffers_from_first, gathered
from simmim.train.processes import my_share

Row = tuple[str, str, float]


def build_task(encoder: nn.Module, header: Mapping[str, Any], settings: DetectSettings, classes: list[str]) -> Detector:
    """A detector on an encoder; `header` is what `load_encoder` returned (its `mean` and `std` are used)."""
    return Detector(encoder, header["mean"], header["std"], len(classes), settings)


def dataset(shards: Shards, settings: DetectSettings, seed: int, header: Mapping[str, Any]) -> DetectionSet:
    """Augmented training batches."""
    return _images(shards, settings, header["mean"], seed=seed, training=True)


def score(task: Detector, shards: Shards, settings: DetectSettings, device: torch.device) -> list[Row]:
    """Box and mask AP in percent over a whole packed set: (metric, class or "", value)."""
    task.to(device).eval()
    copy_buffers_from_first(task)
    images = _images(shards, settings, task.normalise.mean, seed=0, training=False)
    mine, found = my_share(len(shards)), []
    for first in range(0, len(mine), settings.score_batch):
        batch = images.__getitems__([(0, index) for index in mine[first : first + settings.score_batch]])
        predictions = task.predict(batch | {"images": batch["images"].to(device)})
        for index, prediction in zip(batch["samples"], predictions):
            found += coco_score.detections(index, prediction)
    found = sorted(gathered(found), key=operator.itemgetter("image_id"))  # the same order on any number of processes
    truth = coco_score.ground_truth(shards)
    rows = [row for kind in ("box", "mask") for row in coco_score.average_precision(truth, found, kind)]
    return [(metric, detail, 100 * value) for metric, detail, value in rows]


def _images(
    shards: Shards, settings: DetectSettings, mean: Sequence[float], *, seed: int, training: bool
) -> DetectionSet:
    return DetectionSet(
        shards, image_px=settings.image_px, scale_jitter=settings.scale_jitter, flip=settings.flip, padding=mean,
        seed=seed, training=training,
    )  # fmt: skip
