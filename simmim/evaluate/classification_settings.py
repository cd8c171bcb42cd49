"""Settings that all trained classifiers share. Torch-free."""

from __future__ import annotations

import re

from pydantic import Field, field_validator

from simmim.config.ranges import Areas, Factors
from simmim.config.training import TrainSettings
from simmim.evaluate.scored_settings import ScoredSettings

# A section of a policy that timm's `rand_augment_transform` takes; it passes over one without a digit.
_SECTION = re.compile(r"t.*|\D*|(m|n|inc|mmax)\d+|(mstd|p)\d+(\.\d*)?([eE]\d+)?")


class ClassificationSettings(ScoredSettings):
    """A classifier in training; the defaults are the paper's ImageNet-1K recipe for fine-tuning (section 4.1).

    Args:
        labels_per_class: labelled images used of every class, drawn anew for each seed; None uses all.
        crop_scale: area of the random crop as a share of the image.
        flip: probability of a horizontal flip.
        auto_augment: timm's name of a RandAugment policy, "" for none.
        erase: probability of random erasing.
        mixup, cutmix: their alpha; 0 switches one off.
        smoothing: label smoothing.
    """

    labels_per_class: int | None = Field(default=None, ge=1)
    crop_scale: Areas = (0.08, 1.0)
    crop_ratio: Factors = (3 / 4, 4 / 3)
    flip: float = Field(default=0.5, ge=0, le=1)
    auto_augment: str = "rand-m9-mstd0.5-inc1"
    erase: float = Field(default=0.25, ge=0, le=1)
    mixup: float = Field(default=0.8, ge=0)
    cutmix: float = Field(default=1.0, ge=0)
    smoothing: float = Field(default=0.1, ge=0, lt=1)

    @field_validator("auto_augment")
    @classmethod
    def _is_a_policy(cls, policy: str) -> str:
        name, *sections = policy.split("-")
        if policy and (name != "rand" or not all(map(_SECTION.fullmatch, sections))):
            raise ValueError('it must be a RandAugment policy of timm, such as rand-m9-mstd0.5-inc1, or "" for none')
        return policy

    @property
    def mixes(self) -> bool:
        """Whether images of a micro-batch are mixed with each other."""
        return self.mixup > 0 or self.cutmix > 0

    def check_training(self, training: TrainSettings, processes: int = 1) -> None:
        if self.mixes and training.images_at_once(processes) < 2:
            raise ValueError(
                f"mixup and cutmix need two images at once in every process, train.batch={training.batch} and "
                f"train.micro_batch={training.micro_batch} give one; change these, or set mixup and cutmix to 0"
            )
