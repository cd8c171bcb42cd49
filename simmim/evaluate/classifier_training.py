"""One step of training a classifier (section 4.1), with timm's augmentation of whole batches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from timm.data import Mixup
from timm.data.mixup import mixup_target
from timm.data.random_erasing import RandomErasing
from torch import Tensor, nn

from simmim.evaluate.classification_settings import ClassificationSettings
from simmim.evaluate.precision import autocast
from simmim.layers.normaliser import ImageNormaliser
from simmim.train.task import TrainTask


class ClassifierTraining(TrainTask):
    """What one step does: normalise, erase, mix, classify.

    Args:
        classifier: normalised images -> logits.
        header: of the encoder; its `mean` and `std` are per channel, of images in [0, 1].
        classes: number of classes.
    """

    def __init__(
        self, classifier: nn.Module, header: Mapping[str, Any], settings: ClassificationSettings, classes: int
    ) -> None:
        super().__init__()
        self.classifier = classifier
        self.normalise = ImageNormaliser(header["mean"], header["std"])
        self._erase = RandomErasing(settings.erase, mode="pixel", device=None) if settings.erase else None
        options = {"mixup_alpha": settings.mixup, "cutmix_alpha": settings.cutmix, "num_classes": classes}
        self._mix = AnyBatchMixup(**options, label_smoothing=settings.smoothing) if settings.mixes else None
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
        """Logits float32 [b, classes] of uint8 images [b, c, H, W], in the number format of the training."""
        with autocast(images.device, self.autocast_dtype):
            return self.classifier(self.normalise(images)).float()


class AnyBatchMixup(Mixup):
    """timm's Mixup and CutMix for batches of any size.

    Image i is mixed with image b - 1 - i. timm refuses an odd batch, though there the one in the middle merely meets
    itself and keeps its pixels and its label.
    """

    def __call__(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Images [b, c, H, W], which are changed in place, and labels [b] -> mixed images, shares [b, classes]."""
        share = self._mix_batch(images)
        return images, mixup_target(labels, self.num_classes, share, self.label_smoothing)
