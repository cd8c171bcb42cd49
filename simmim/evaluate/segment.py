"""ADE20K semantic segmentation from an encoder: the task, its data and its score (appendix B)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from simmim.data.dense import SegmentationSet
from simmim.data.shards import Shards
from simmim.evaluate import confusion
from simmim.evaluate.dense_settings import SegmentSettings
from simmim.evaluate.gather import copy_buffers_from_first
from simmim.evaluate.segmenter import Segmenter
from simmim.train.processes import my_share, sum_over_processes

Row = tuple[str, str, float]


def build_task(
    encoder: nn.Module, header: Mapping[str, Any], settings: SegmentSettings, classes: list[str]
) -> Segmenter:
    """A segmenter on an encoder; `header` is what `load_encoder` returned (its `mean` and `std` are used)."""
    return Segmenter(encoder, header["mean"], header["std"], len(classes), settings)


def dataset(shards: Shards, settings: SegmentSettings, seed: int, header: Mapping[str, Any]) -> SegmentationSet:
    """Augmented training crops."""
    return _images(shards, settings, header["mean"], seed=seed, training=True)


def score(task: Segmenter, shards: Shards, settings: SegmentSettings, device: torch.device) -> list[Row]:
    """Mean IoU, pixel accuracy and the IoU of every class in percent: (metric, class or "", value)."""
    task.to(device).eval()
    copy_buffers_from_first(task)
    images, classes = _images(shards, settings, task.normalise.mean, seed=0, training=False), shards.classes
    counts = np.zeros((len(classes), len(classes)), dtype=np.int64)
    batches = list(_same_size(shards.sizes, settings.score_batch))
    for number in my_share(len(batches)):
        batch = images.__getitems__([(0, index) for index in batches[number]])
        labels = batch["labels"]
        predicted = task.predict(batch["images"].to(device), labels.shape[-2:]).cpu()
        counts += confusion.confusion_matrix(labels.numpy(), predicted.numpy(), len(classes))
    counts = sum_over_processes(torch.from_numpy(counts).to(device)).cpu().numpy()
    rows = [("miou", "", confusion.mean_iou(counts)), ("pixel_accuracy", "", confusion.pixel_accuracy(counts))]
    rows += [("iou", name, value) for name, value in zip(classes, confusion.class_iou(counts))]
    return [(metric, detail, 100 * float(value)) for metric, detail, value in rows]


def _images(
    shards: Shards, settings: SegmentSettings, mean: Sequence[float], *, seed: int, training: bool
) -> SegmentationSet:
    return SegmentationSet(
        shards, image_px=settings.image_px, scale_range=settings.scale_range, flip=settings.flip, padding=mean,
        long_side_limit=settings.long_side_limit, seed=seed, training=training,
    )  # fmt: skip


def _same_size(sizes: np.ndarray, most: int) -> Iterator[list[int]]:
    """Indices of images in batches of one stored size: a whole image is never padded to its neighbour's size."""
    order = np.lexsort((sizes[:, 1], sizes[:, 0]))
    batch: list[int] = []
    for index in order.tolist():
        if batch and (len(batch) == most or (sizes[index] != sizes[batch[0]]).any()):
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch
