"""Settings of the attentive probe. Torch-free."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from simmim.evaluate.classification_settings import ClassificationSettings


class AttentiveSettings(ClassificationSettings):
    """Attentive probe: as fine-tuning, but the encoder is frozen and images are only cropped and flipped.

    Args:
        block: whose tokens are pooled, counted from 1 as in the table of the linear probe; None takes the encoder's
            last output.
        head_width: fewest channels of one head of the attention.
    """

    label: ClassVar[str] = "attentive probe"

    auto_augment: str = ""
    erase: float = Field(default=0.0, ge=0, le=1)
    mixup: float = Field(default=0.0, ge=0)
    cutmix: float = Field(default=0.0, ge=0)
    smoothing: float = Field(default=0.0, ge=0, lt=1)
    block: int | None = Field(default=None, ge=1)
    head_width: int = Field(default=64, ge=1)
