"""Settings of the view that images are classified in. Torch-free."""

from __future__ import annotations

from pydantic import Field

from simmim.config.sections import TaskSettings, scored_side_px, sides


class ScoredSettings(TaskSettings):
    """Images are scored in one central crop each.

    Args:
        score_crop: share of the short side that the centre crop keeps; 1 keeps all.
        score_batch: images at once, half of it where they do not fit the memory, and so on.
    """

    score_crop: float = Field(default=224 / 256, gt=0, le=1)
    score_batch: int = Field(default=256, ge=1)

    @property
    def short_side_px(self) -> int:
        return scored_side_px(max(sides(self.image_px)), self.score_crop)
