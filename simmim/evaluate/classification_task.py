"""What all tasks share that train a classifier on labelled images: data, and the score of one label an image."""

from __future__ import annotations

import functools

import torch
from torch import Tensor, nn

from simmim.data.classification import LabelledImages, ScoringImages
from simmim.data.requirements import require_labels
from simmim.data.shards import Shards
from simmim.evaluate.classification_settings import ClassificationSettings
from simmim.evaluate.classifier_training import ClassifierTraining
from simmim.evaluate.fitting_parts import FittingParts, part_of
from simmim.evaluate.gather import copy_buffers_from_first
from simmim.evaluate.task import Row, Task
from simmim.train.processes import my_batches, sum_over_processes
from simmim.train.reading import read_ahead, to_device


class ClassificationTask(Task):
    """A classifier in training; its module is a `ClassifierTraining`."""

    @classmethod
    def check_encoder(cls, encoder: nn.Module, channels: int, settings: ClassificationSettings) -> None:
        if channels not in (1, 3) and settings.auto_augment:
            raise ValueError(
                f"settings.auto_augment={settings.auto_augment} changes colours, and images have {channels} channels: "
                'set settings.auto_augment=""'
            )

    @classmethod
    def check_set(cls, shards: Shards) -> None:
        require_labels(shards)

    def dataset(self) -> LabelledImages:
        """Augmented training batches."""
        inputs = self.inputs
        return LabelledImages(inputs.sets["train"], inputs.settings, inputs.seed, inputs.header["mean"])

    @torch.inference_mode()
    def score(self, module: ClassifierTraining, split: str) -> list[Row]:
        """Top-1 and top-5 accuracy in percent, every image counted once on any number of processes."""
        module.eval()
        copy_buffers_from_first(module)
        settings, shards, device = self.inputs.settings, self.inputs.sets[split], self.inputs.device
        images = ScoringImages(shards, settings.image_px, settings.score_crop, module.normalise.channels)
        right, parts = torch.zeros(2, device=device), FittingParts(settings.score_batch)
        for batch in read_ahead(images, [*my_batches(len(shards), settings.score_batch)], device):
            right_of = functools.partial(_right, module, batch, min(5, len(shards.classes)))
            for _, counts in parts.results(range(len(batch["labels"])), right_of):
                right += counts
        top1, top5 = (100 * sum_over_processes(right) / len(shards)).tolist()
        return [("top1", "", top1), ("top5", "", top5)]


def _right(module: ClassifierTraining, batch: dict[str, Tensor], most: int, rows: range) -> Tensor:
    """How many images of some rows have their class first, and among the first `most`, [2]."""
    images, labels = to_device(part_of(batch, rows), module.normalise.device).values()
    best = module.predict(images).topk(most, dim=1).indices == labels[:, None]  # [b, most]
    return torch.stack((best[:, 0].sum(), best.any(dim=1).sum()))
