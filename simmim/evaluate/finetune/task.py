"""Fine-tuning a pre-trained encoder as a classifier (section 4.1), with timm's augmentation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from timm.data import Mixup
from timm.data.random_erasing import RandomErasing
from torch import Tensor, nn

from simmim.data.classification import LabelledImages, scoring_images
from simmim.data.requirements import require_labels
from simmim.data.shards import Shards
from simmim.evaluate.finetune.classifier import Classifier
from simmim.evaluate.finetune.settings import FinetuneSettings
from simmim.evaluate.gather import copy_buffers_from_first
from simmim.layers.normaliser import ImageNormaliser
from simmim.train.processes import my_share, sum_over_processes
from simmim.train.task import TrainTask

Row = tuple[str, str, float]


class FineTuning(TrainTask):
    """What one step of fine-tuning does: normalise, erase, mix, classify.

    Args:
        classifier: normalised images -> logits.
        header: of the encoder; its `mean` and `std` are per channel, of images in [0, 1].
        classes: number of classes.
    """

    def __init__(
        self, classifier: nn.Module, header: Mapping[str, Any], settings: FinetuneSettings, classes: int
    ) -> None:
        super().__init__()
        self.classifier = classifier
        self.normalise = ImageNormaliser(header["mean"], header["std"])
        self._erase = RandomErasing(settings.erase, mode="pixel", device=None) if settings.erase else None
        mixing = settings.mixup > 0 or settings.cutmix > 0
        options = {"mixup_alpha": settings.mixup, "cutmix_alpha": settings.cutmix, "num_classes": classes}
        self._mix = Mixup(**options, label_smoothing=settings.smoothing) if mixing else None
        self._smoothing = settings.smoothing

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Mean cross-entropy of a batch of `images` uint8 [b, c, H, W] and `labels` int64 [b]."""
        images, labels = self.normalise(batch["images"]), batch["labels"]
        if self._erase:
            self._erase.device = images.device
            images = self._erase(images)
        if not self._mix:
            return nn.functional.cross_entropy(self.classifier(images).float(), labels, label_smoothing=self._smoothing)
        images, shares = self._mix(images, labels)
        return nn.functional.cross_entropy(self.classifier(images).float(), shares)

    def predict(self, images: Tensor) -> Tensor:
        """Logits [b, classes] of uint8 images [b, c, H, W]."""
        return self.classifier(self.normalise(images))


def build_task(
    encoder: nn.Module, header: Mapping[str, Any], settings: FinetuneSettings, classes: list[str]
) -> FineTuning:
    """A fresh classifier on a pre-trained encoder."""
    return FineTuning(Classifier(encoder, len(classes)), header, settings, len(classes))


def dataset(shards: Shards, settings: FinetuneSettings, seed: int, header: Mapping[str, Any]) -> LabelledImages:
    """Augmented training batches."""
    return LabelledImages(shards, settings, seed, header["mean"])


@torch.inference_mode()
def score(task: FineTuning, shards: Shards, settings: FinetuneSettings, device: torch.device) -> list[Row]:
    """Top-1 and top-5 accuracy in percent over the whole set, every image counted once on any number of processes."""
    require_labels(shards)
    task.eval()
    copy_buffers_from_first(task)
    right = torch.zeros(2, device=device)
    mine = my_share(len(shards))
    for first in range(0, len(mine), settings.score_batch):
        samples = mine[first : first + settings.score_batch]
        images = scoring_images(shards, samples, settings.image_px, settings.score_crop, task.normalise.channels).to(
            device
        )
        labels = torch.from_numpy(shards.labels[samples]).to(device)
        best = task.predict(images).topk(min(5, len(shards.classes)), dim=1).indices == labels[:, None]  # [b, 5]
        right += torch.stack((best[:, 0].sum(), best.any(dim=1).sum()))
    top1, top5 = (100 * sum_over_processes(right) / len(shards)).tolist()
    return [("top1", "", top1), ("top5", "", top5)]
