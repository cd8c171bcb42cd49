"""COCO instance segmentation from an encoder: the task, its data and its score (appendix C)."""

from __future__ import annotations

import functools
import operator
from typing import Any

from torch import nn

from simmim.data.detection import DetectionSet
from simmim.data.requirements import require_masks
from simmim.data.shards import Shards
from simmim.evaluate.detect import coco_score
from simmim.evaluate.detect.detector import Detector
from simmim.evaluate.detect.settings import DetectSettings
from simmim.evaluate.fitting_parts import FittingParts, part_of
from simmim.evaluate.gather import copy_buffers_from_first, gathered
from simmim.evaluate.pyramid import check_dense
from simmim.evaluate.task import Row, Task
from simmim.train.processes import my_batches
from simmim.train.reading import read_ahead, to_device


class Detect(Task):
    """Mask R-CNN, trained end to end and scored by COCO's box and mask average precision."""

    @classmethod
    def check_encoder(cls, encoder: nn.Module, channels: int, settings: DetectSettings) -> None:
        check_dense(encoder, channels, "detection")

    @classmethod
    def check_set(cls, shards: Shards) -> None:
        require_masks(shards)

    def module(self) -> Detector:
        inputs = self.inputs
        return Detector(
            inputs.encoder, inputs.header["mean"], inputs.header["std"], len(inputs.classes), inputs.settings
        )

    def dataset(self) -> DetectionSet:
        """Augmented training batches."""
        return self._images("train", self.inputs.seed, training=True)

    def score(self, module: Detector, split: str) -> list[Row]:
        """Box and mask AP over a whole packed set, and that of every class."""
        module.to(self.inputs.device).eval()
        copy_buffers_from_first(module)
        shards, images = self.inputs.sets[split], self._images(split, seed=0, training=False)
        at_once, found = self.inputs.settings.score_batch, []
        keys = [[(0, index) for index in share] for share in my_batches(len(shards), at_once)]
        parts = FittingParts(at_once)
        for batch in read_ahead(images, keys, self.inputs.device):
            found_in = functools.partial(self._found, module, batch)
            found += [each for _, some in parts.results(range(len(batch["samples"])), found_in) for each in some]
        found = sorted(gathered(found), key=operator.itemgetter("image_id"))  # in one order on any number of processes
        truth = coco_score.ground_truth(shards)
        rows = [row for kind in ("box", "mask") for row in coco_score.average_precision(truth, found, kind)]
        return [(metric, part, 100 * value) for metric, part, value in rows]

    def _found(self, module: Detector, batch: dict[str, Any], rows: range) -> list[dict[str, Any]]:
        """Detections in some rows of a batch."""
        part = part_of(batch, rows)
        predictions = module.predict(part | {"images": to_device(part["images"], self.inputs.device)})
        pairs = zip(part["samples"], predictions)
        return [each for index, prediction in pairs for each in coco_score.detections(index, prediction)]

    def _images(self, split: str, seed: int, training: bool) -> DetectionSet:
        settings = self.inputs.settings
        return DetectionSet(
            self.inputs.sets[split],
            image_px=settings.image_px,
            scale_jitter=settings.scale_jitter,
            flip=settings.flip,
            padding=self.inputs.header["mean"],
            seed=seed,
            training=training,
        )
