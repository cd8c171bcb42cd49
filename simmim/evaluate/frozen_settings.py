"""Settings that all evaluations of frozen features share. Torch-free."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from simmim.evaluate.scored_settings import ScoredSettings


class FrozenSettings(ScoredSettings):
    """Classification from frozen features of every block.

    Args:
        held_out: share of the training set on which the block is chosen.
    """

    reads_features: ClassVar[bool] = True

    held_out: float = Field(default=0.1, gt=0, lt=1)
