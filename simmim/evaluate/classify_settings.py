"""Settings of the classification transfers: fine-tuning, linear probe, nearest neighbours. Torch-free."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class FinetuneSettings(BaseModel):
    """End-to-end fine-tuning (section 4.1); the defaults are the paper's ImageNet-1K recipe.

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

    model_config = ConfigDict(extra="forbid", frozen=True)

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


class AttentiveSettings(FinetuneSettings):
    """Attentive probe: as fine-tuning, but the encoder is frozen and images are only cropped and flipped.

    Args:
        block: whose tokens are pooled, counted from 1 as in the table of the linear probe; None takes the encoder's
            last output.
        head_width: fewest channels of one head of the attention.
    """

    auto_augment: str = ""
    erase: float = Field(default=0.0, ge=0, le=1)
    mixup: float = Field(default=0.0, ge=0)
    cutmix: float = Field(default=0.0, ge=0)
    smoothing: float = Field(default=0.0, ge=0, lt=1)
    block: int | None = Field(default=None, ge=1)
    head_width: int = Field(default=64, ge=1)


class FrozenSettings(BaseModel):
    """Classification from frozen features of every block.

    Args:
        held_out: share of the training set on which the block is chosen.
        neighbours: k of the nearest-neighbour vote.
        temperature: of its weights, exp(cosine / temperature).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    image_px: int = Field(default=224, ge=8)
    score_crop: float = Field(default=224 / 256, gt=0, le=1)
    score_batch: int = Field(default=256, ge=1)
    held_out: float = Field(default=0.1, gt=0, lt=1)
    neighbours: int = Field(default=20, ge=1)
    temperature: float = Field(default=0.07, gt=0)
