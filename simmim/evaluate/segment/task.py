"""ADE20K semantic segmentation from an encoder: the task, its data and its score (appendix C)."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from simmim.data.requirements import require_label_maps, require_two_classes
from simmim.data.segmentation import SegmentationSet, SegmentationViews
from simmim.data.shards import Shards
from simmim.evaluate.fitting_parts import FittingParts, part_of
from simmim.evaluate.gather import copy_buffers_from_first
from simmim.evaluate.pyramid import check_dense
from simmim.evaluate.segment import confusion
from simmim.evaluate.segment.segmenter import Segmenter
from simmim.evaluate.segment.settings import SegmentSettings
from simmim.evaluate.task import Row, Task
from simmim.train.processes import my_share, sum_over_processes
from simmim.train.reading import read_ahead, to_device


class Segment(Task):
    """UPerNet, trained end to end and scored by the mean IoU over whole images."""

    @classmethod
    def check_encoder(cls, encoder: nn.Module, channels: int, settings: SegmentSettings) -> None:
        check_dense(encoder, channels, "segmentation")
        if not encoder.any_size:
            height, width = encoder.image_px
            raise ValueError(
                f"segmentation is scored on whole images of any size, this {type(encoder).__name__} takes {height} x "
                f"{width} px only; use a Swin with encoder.clamp_window=false or a ResNet"
            )

    @classmethod
    def check_set(cls, shards: Shards) -> None:
        require_label_maps(shards)

    def module(self) -> Segmenter:
        inputs = self.inputs
        header, classes = inputs.header, len(inputs.classes)
        return Segmenter(inputs.encoder, header["mean"], header["std"], classes, inputs.settings)

    def dataset(self) -> SegmentationSet:
        """Augmented training crops."""
        require_two_classes(self.inputs.sets["train"])
        return self._images("train", self.inputs.seed, training=True)

    def score(self, module: Segmenter, split: str) -> list[Row]:
        """Mean IoU, accuracies and the IoU of every class in percent.

        All are of the settings' scales and flips together, as the paper's, but for `miou_single_scale`.
        """
        settings, shards, device = self.inputs.settings, self.inputs.sets[split], self.inputs.device
        module.to(device).eval()
        copy_buffers_from_first(module)
        views = {scale: self._images(split, 0, training=False, scale=scale) for scale in settings.score_scales}
        kinds = len(shards.classes)
        counts = np.zeros((2, kinds, kinds), dtype=np.int64)  # single scale, all views
        batches, parts = list(_same_size(shards.sizes, settings.score_batch)), FittingParts(settings.score_batch)
        mine = [batches[number] for number in my_share(len(batches))]
        for batch in read_ahead(SegmentationViews(views), mine, device):
            predicted_in = functools.partial(self._predicted, module, batch)
            for _, (labels, *predicted) in parts.results(range(len(batch["labels"])), predicted_in):
                counts += [confusion.confusion_matrix(labels, classes, kinds) for classes in predicted]
        single, combined = sum_over_processes(torch.from_numpy(counts).to(device)).cpu().numpy()
        return _rows(single, combined, shards.classes)

    def _predicted(
        self, module: Segmenter, batch: Mapping[str, Any], rows: range
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """True classes, those seen in the plain image and those in all views together, each [b, h, w].

        Only the sum of the probabilities is kept: at 150 classes and 640 x 2560 pixels one view has 1 GB per image.
        """
        part, total = part_of(batch, rows), None
        labels = part["labels"]
        for scale, images in part["images"].items():
            pixels = to_device(images, self.inputs.device)
            for mirrored in (False, True) if self.inputs.settings.score_flip else (False,):
                shares = module.probabilities(pixels, labels.shape[-2:], mirrored)
                if scale == 1 and not mirrored:
                    single = shares.argmax(dim=1)
                total = shares if total is None else total.add_(shares)
        return labels.numpy(), single.cpu().numpy(), total.argmax(dim=1).cpu().numpy()

    def _images(self, split: str, seed: int, training: bool, scale: float = 1.0) -> SegmentationSet:
        settings = self.inputs.settings
        return SegmentationSet(
            self.inputs.sets[split],
            image_px=settings.image_px,
            scale_range=settings.scale_range,
            flip=settings.flip,
            max_class_share=settings.max_class_share,
            distort_colours=settings.distort_colours,
            padding=self.inputs.header["mean"],
            long_side_limit=settings.long_side_limit,
            seed=seed,
            training=training,
            score_scale=scale,
        )


def _rows(single: np.ndarray, combined: np.ndarray, classes: list[str]) -> list[Row]:
    rows = [
        ("miou", "", confusion.mean_iou(combined)),
        ("miou_single_scale", "", confusion.mean_iou(single)),
        ("pixel_accuracy", "", confusion.pixel_accuracy(combined)),
        ("mean_class_accuracy", "", confusion.mean_class_accuracy(combined)),
        *(("iou", name, value) for name, value in zip(classes, confusion.class_iou(combined))),
    ]
    return [(metric, part, 100 * float(value)) for metric, part, value in rows]


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
