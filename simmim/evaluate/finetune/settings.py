"""Settings of fine-tuning. Torch-free."""

from __future__ import annotations

from typing import ClassVar

from simmim.evaluate.classification_settings import ClassificationSettings


class FinetuneSettings(ClassificationSettings):
    """End-to-end fine-tuning (section 4.1); the defaults are the paper's ImageNet-1K recipe."""

    label: ClassVar[str] = "fine-tuning"
    leaves_encoders: ClassVar[bool] = True
    scores_extra_set: ClassVar[bool] = True
