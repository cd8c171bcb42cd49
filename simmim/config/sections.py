"""The fixed sections of a config; components bring their own settings, checked where they are built (torch-free)."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from simmim.config.training import TrainSettings

PRETRAINED = "pretrain"  # what `start` says where it is the pre-trained encoder
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
    masked_patch_px: int | None = None


class LossSection(Section):
    """`area` is where the loss is taken: on masked pixels or on the full image (Table 4)."""

    name: Literal["l1", "l2", "smooth_l1", "cross_entropy"] = "l1"
    area: Literal["masked", "full"] = "masked"


class StartSection(Section):
    """What a run begins with instead of fresh weights.

    Args:
        run: a run with the same settings and fewer epochs, whose first stage of constant rate is this run's too
            (step schedule, Table 9); its checkpoint at its first milestone is where this run begins.
        encoder: an encoder file, such as `simmim convert` makes; its architecture must be this run's. `$data` stands
            for the `data_root` of config.yaml.
    """

    run: str = ""
    encoder: str = ""


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
    """A pre-training run.

    Args:
        method: "simmim", which needs mask, head and target, or a rival (`simmim.methods`), which has none of them.
        role: which of the scale's data sets it is trained on.
        seeds: trainings, each with its own initial weights, masks, crops and order of samples.
    """

    method: Component = Component(name="simmim")
    role: str = "pretrain"
    start: StartSection = StartSection()
    encoder: Component
    geometry: GeometrySection
    mask: Component | None = None
    head: Component | None = None
    target: Component | None = None
    loss: LossSection = LossSection()
    images: ImagesSection = ImagesSection()
    train: TrainSettings
    seeds: int = Field(default=1, ge=1)

    @model_validator(mode="after")
    def _has_what_its_method_needs(self) -> Pretraining:
        parts = {"mask": self.mask, "head": self.head, "target": self.target}
        parts["geometry.masked_patch_px"] = self.geometry.masked_patch_px
        masked = self.method.name == "simmim"
        wrong = [name for name, part in parts.items() if (part is None) == masked]
        if wrong:
            raise ValueError(f"method {self.method.name} {'needs' if masked else 'has no'} {', '.join(wrong)}")
        return self


class Tokenizer(Section):
    """What makes the codes that a target of tokens predicts.

    Args:
        kind: a file of `simmim.tokenizers` and its settings.
        train: for a kind that is trained.
        seed: of everything that is drawn.
    """

    kind: Component
    images: ImagesSection = ImagesSection()
    train: TrainSettings | None = None
    seed: int = Field(default=0, ge=0)


class Evaluation(Section):
    """A transfer of a pre-trained encoder.

    Args:
        task: what is done with it; `settings` are that task's (`simmim.evaluate.settings`).
        role: which of the scale's data sets it uses.
        encoder: what a transfer may change about the encoder (window, drop path), nothing else.
        seeds: trainings, each with its own subset of labels, initial head and order of samples.
        start: "pretrain" for the pre-trained encoder, or the run's fine-tuning whose encoders it begins with.
    """

    task: Literal["finetune", "attentive", "probe", "knn", "detect", "segment"]
    role: Literal["classify", "classify_inat", "classify_kinetics", "detect", "segment"]
    encoder: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    train: TrainSettings | None = None
    seeds: int = Field(default=1, ge=1)
    start: str = PRETRAINED


SECTIONS: dict[str, type[BaseModel]] = {
    "geometry": GeometrySection,
    "loss": LossSection,
    "start": StartSection,
    "images": ImagesSection,
    "train": TrainSettings,
}
