"""Settings of the nearest-neighbour vote. Torch-free."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from simmim.evaluate.frozen_settings import FrozenSettings


class KnnSettings(FrozenSettings):
    """Weighted vote of the nearest neighbours (arXiv 1805.01978 and 2104.14294).

    Args:
        neighbours: k of the vote.
        temperature: of its weights, exp(cosine / temperature); below an 80th float32 would hold them no longer, and the
            vote be the first class's.
    """

    label: ClassVar[str] = "k-NN"
    trains: ClassVar[bool] = False

    neighbours: int = Field(default=20, ge=1)
    temperature: float = Field(default=0.07, ge=0.0125)
