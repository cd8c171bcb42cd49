"""Settings that all evaluations of frozen features share. Torch-free."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, model_validator

from simmim.config.sections import sides
from simmim.evaluate.scored_settings import ScoredSettings


class FrozenSettings(ScoredSettings):
    """Classification from frozen features of every block.

    Args:
        held_out: share of the training set on which the block is chosen.
        mask_ratio, masked_patch_px: what is hidden of the training images, as by the random mask of pre-training; those
            that are scored are whole. So is a probe that learns from what pre-training computes. Both, or none.
    """

    reads_features: ClassVar[bool] = True

    held_out: float = Field(default=0.1, gt=0, lt=1)
    # Left out of a config that does not use them, whose hash and results stay what they were.
    mask_ratio: float | None = Field(default=None, gt=0, lt=1, exclude_if=lambda ratio: ratio is None)
    masked_patch_px: int | None = Field(default=None, ge=1, exclude_if=lambda side: side is None)

    @model_validator(mode="after")
    def _mask_is_whole(self) -> FrozenSettings:
        if (self.mask_ratio is None) != (self.masked_patch_px is None):
            raise ValueError("mask_ratio and masked_patch_px go together: set both, or none for whole images")
        if self.masked_patch_px and any(side % self.masked_patch_px for side in sides(self.image_px)):
            raise ValueError(f"masked_patch_px {self.masked_patch_px} must divide image_px {self.image_px}")
        return self
