"""ADE20K semantic segmentation from an encoder: the task, its data and its score (appendix B)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from simmim.data.dense import Key, SegmentationSet
from simmim.data.shards import Shards
from simmim.evaluate.gather import copy_buffers_from_first
from simmim.evaluate.segment import confusion
from simmim.evaluate.segment.segmenter import Segmenter
from simmim.evaluate.segment.settings import SegmentSettings
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
    """Mean IoU, accuracies and the IoU of every class in percent: (metric, class or "", value).

    All are of the settings' scales and flips together, as the paper's, but for `miou_single_scale`.
    """
    task.to(device).eval()
    copy_buffers_from_first(task)
    views = {
        scale: _images(shards, settings, task.normalise.mean, seed=0, training=False, score_scale=scale)
        for scale in settings.score_scales
    }
    kinds = len(shards.classes)
    counts = np.zeros((2, kinds, kinds), dtype=np.int64)  # single scale, all views
    batches = list(_same_size(shards.sizes, settings.score_batch))
    for number in my_share(len(batches)):
        labels, *predicted = _predicted(task, views, [(0, index) for index in batches[number]], settings, device)
        counts += [confusion.confusion_matrix(labels, classes, kinds) for classes in predicted]
    single, combined = sum_over_processes(torch.from_numpy(counts).to(device)).cpu().numpy()
    return _rows(single, combined, shards.classes)


def _predicted(
    task: Segmenter, views: Mapping[float, SegmentationSet], keys: list[Key], settings: SegmentSettings,
    device: torch.device,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """True classes, those seen in the plain image and those in all views together, each [b, h, w].

    Only the sum of the probabilities is kept: at 150 classes and 640 x 2560 pixels one view has 1 GB for each image.
    """
    total = None
    for scale, images in views.items():
        batch = images.__getitems__(keys)
        for mirrored in (False, True) if settings.score_flip else (False,):
            shares = task.probabilities(batch["images"].to(device), batch["labels"].shape[-2:], mirrored)
            if scale == 1 and not mirrored:
                single = shares.argmax(dim=1)
            total = shares if total is None else total.add_(shares)
    return batch["labels"].numpy(), single.cpu().numpy(), total.argmax(dim=1).cpu().numpy()


def _rows(single: np.ndarray, combined: np.ndarray, classes: list[str]) -> list[Row]:
    rows = [
        ("miou", "", confusion.mean_iou(combined)),
        ("miou_single_scale", "", confusion.mean_iou(single)),
        ("pixel_accuracy", "", confusion.pixel_accuracy(combined)),
        ("mean_class_accuracy", "", confusion.mean_class_accuracy(combined)),
        *(("iou", name, value) for name, value in zip(classes, confusion.class_iou(combined))),
    ]
    return [(metric, detail, 100 * float(value)) for metric, detail, value in rows]


def _images(
    shards: Shards, settings: SegmentSettings, mean: Sequence[float], *, seed: int, training: bool,
    score_scale: float = 1.0,
) -> SegmentationSet:  # fmt: skip
    return SegmentationSet(
        shards, image_px=settings.image_px, scale_range=settings.scale_range, flip=settings.flip,
        max_class_share=settings.max_class_share, distort_colours=settings.distort_colours, padding=mean,
        long_side_limit=settings.long_side_limit, seed=seed, training=training, score_scale=score_scale,
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
