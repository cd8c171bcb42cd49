"""Settings that all evaluations of frozen features share. Torch-free."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from simmim.config.sections import TaskSettings


class FrozenSettings(TaskSettings):
    """Classification from frozen features of every block.

    Args:
        score_crop: share of the short side that the centre crop keeps; 1 keeps all.
        score_batch: images at once, half of it where they do not fit the memory, and so on.
        held_out: share of the training set on which the block is chosen.
    """

    reads_features: ClassVar[bool] = True

    score_crop: float = Field(default=224 / 256, gt=0, le=1)
    score_batch: int = Field(default=256, ge=1)
    held_out: float = Field(default=0.1, gt=0, lt=1)

    @property
    def short_side_px(self) -> int:
        """Short side that an image is resized to for scoring."""
        return int(self.image_px / self.score_crop)
