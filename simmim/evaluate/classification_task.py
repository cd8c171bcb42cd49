"""What all tasks share that train a classifier on labelled images: data, and the score of one label an image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from simmim.data.classification import LabelledImages, scoring_images
from simmim.data.requirements import require_labels
from simmim.data.shards import Shards
from simmim.evaluate.classifier_training import ClassifierTraining
from simmim.evaluate.fitting_parts import FittingParts
from simmim.evaluate.gather import copy_buffers_from_first
from simmim.evaluate.task import Row, Task
from simmim.train.processes import my_share, sum_over_processes


class ClassificationTask(Task):
    """A classifier in training; its module is a `ClassifierTraining`."""

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
        right, channels = torch.zeros(2, device=device), module.normalise.channels

        def right_of(samples: Sequence[int]) -> Tensor:
            """How many images have their class first, and among the first five, [2]."""
            images = scoring_images(shards, samples, settings.image_px, settings.score_crop, channels).to(device)
            labels = torch.from_numpy(shards.labels[samples]).to(device)
            best = module.predict(images).topk(min(5, len(shards.classes)), dim=1).indices == labels[:, None]  # [b, 5]
            return torch.stack((best[:, 0].sum(), best.any(dim=1).sum()))

        for _, counts in FittingParts(settings.score_batch).results(my_share(len(shards)), right_of):
            right += counts
        top1, top5 = (100 * sum_over_processes(right) / len(shards)).tolist()
        return [("top1", "", top1), ("top5", "", top5)]
