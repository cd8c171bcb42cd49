"""Settings that all trained classifiers share. Torch-free."""

from __future__ import annotations

from pydantic import Field

from simmim.config.sections import TaskSettings


class ClassificationSettings(TaskSettings):
    """A classifier in training; the defaults are the paper's ImageNet-1K recipe for fine-tuning (section 4.1).

    Args:
        image_px: side of the square input.
        labels_per_class: labelled images used of every class, drawn anew for each seed; None uses all.
        crop_scale: area of the random crop as a share of the image.
        flip: probability of a horizontal flip.
        auto_augment: timm's name of a RandAugment policy, "" for none.
        erase: probability of random erasing.
        mixup, cutmix: their alpha; 0 switches one off.
        smoothing: label smoothing.
        score_crop: share of the short side that the centre crop of the evaluation keeps; 1 keeps all.
    """

    image_px: int = Field(default=224, ge=8)
    labels_per_class: int | None = Field(default=None, ge=1)
    crop_scale: tuple[float, float] = (0.08, 1.0)
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)
    flip: float = Field(default=0.5, ge=0, le=1)
    auto_augment: str = "rand-m9-mstd0.5-inc1"
    erase: float = Field(default=0.25, ge=0, le=1)
    mixup: float = Field(default=0.8, ge=0)
    cutmix: float = Field(default=1.0, ge=0)
    smoothing: float = Field(default=0.1, ge=0, lt=1)
    score_crop: float = Field(default=224 / 256, gt=0, le=1)
    score_batch: int = Field(default=256, ge=1)
