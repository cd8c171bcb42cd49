"""The fixed sections of a config; components bring their own settings, checked where they are built (torch-free)."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from simmim.train.settings import TrainSettings

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Section(BaseModel):
    """A section that refuses what it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Component(BaseModel):
    """A section that names a file of the package and holds that component's settings."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str


class GeometrySection(Section):
    """Sizes in pixels of the encoder's input; `image_px` is a side or [height, width]."""

    image_px: int | tuple[int, int]
    masked_patch_px: int


class LossSection(Section):
    """`area` is where the loss is taken: on masked pixels or on the full image (Table 4)."""

    name: Literal["l1", "l2", "smooth_l1", "cross_entropy"] = "l1"
    area: Literal["masked", "full"] = "masked"


class ImagesSection(Section):
    """How training images are cropped, and the channel statistics they are normalised by.

    Args:
        crop_scale: area of the random crop as a share of the image.
        crop_ratio: its width over its height.
        flip: probability of a horizontal flip.
    """

    crop_scale: tuple[float, float] = (0.67, 1.0)
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)
    flip: float = Field(default=0.5, ge=0, le=1)
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD


class Pretraining(Section):
    """A pre-training run."""

    encoder: Component
    geometry: GeometrySection
    mask: Component
    head: Component
    target: Component
    loss: LossSection = LossSection()
    images: ImagesSection = ImagesSection()
    train: TrainSettings
    seeds: int = Field(default=1, ge=1)


class Evaluation(Section):
    """A transfer of a pre-trained encoder.

    Args:
        task: what is done with it; `settings` are that task's (`simmim.evaluate.settings`).
        role: which of the scale's data sets it uses.
        encoder: what a transfer may change about the encoder (window, drop path), nothing else.
        seeds: trainings, each with its own subset of labels, initial head and order of samples.
    """

    task: Literal["finetune", "probe", "knn", "detect", "segment"]
    role: Literal["classify", "detect", "segment"]
    encoder: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    train: TrainSettings | None = None
    seeds: int = Field(default=1, ge=1)


SECTIONS: dict[str, type[BaseModel]] = {
    "geometry": GeometrySection,
    "loss": LossSection,
    "images": ImagesSection,
    "train": TrainSettings,
}
