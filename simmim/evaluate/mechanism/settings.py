"""Settings of the mechanism. Torch-free."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from simmim.evaluate.scored_settings import ScoredSettings


class MechanismSettings(ScoredSettings):
    """Curves over the blocks of an encoder (Park et al., arXiv 2305.00729; CKA: arXiv 1905.00414).

    Args:
        images: of the validation set, drawn by the seed; all where it has fewer. CKA needs four.
    """

    label: ClassVar[str] = "mechanism of the encoder"
    trains: ClassVar[bool] = False
    is_score: ClassVar[bool] = False

    images: int = Field(default=500, ge=4)
    score_batch: int = Field(default=32, ge=1)
