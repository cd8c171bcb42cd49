"""The complete configs of evaluations, of the features they read and of what is counted: as those of `models`."""

from __future__ import annotations

from typing import Any

from pydantic import Field, SerializeAsAny, field_validator, model_validator

from simmim import plugin
from simmim.config.models import DataConfig, JobConfig, PretrainConfig
from simmim.config.sections import Section, TaskSettings, sides
from simmim.config.training import TrainSettings
from simmim.plugin import Component

PRETRAINED = "pretrain"  # what `init` says where it is the pre-trained encoder


class FineTunedInit(Section):
    """What a config keeps of the fine-tuning it starts from.

    Args:
        evaluation: its name.
        config_hash: of its config.
        seeds: encoders that it leaves.
        encoder: what it, and the fine-tuning before it, changed about the encoder.
    """

    evaluation: str
    config_hash: str
    seeds: int
    encoder: dict[str, Any]


class EvaluateSettings(Section):
    """A transfer of a pre-trained encoder as a recipe and a row say.

    Args:
        task: a package of `simmim.evaluate`; `settings` are that task's.
        role: which of the scale's data sets it uses.
        encoder: what a transfer may change about the encoder (window, drop path), nothing else.
        seeds: trainings, each with its own subset of labels, initial head and order of samples; one for every
            pre-training of the run at least.
        init: "pretrain" for the pre-trained encoder, or the run's fine-tuning whose encoders it begins with.
    """

    task: str
    role: str
    encoder: dict[str, Any] = {}
    settings: SerializeAsAny[TaskSettings]
    train: TrainSettings | None = None
    seeds: int = Field(default=1, ge=1)
    init: Any = PRETRAINED

    @field_validator("task")
    @classmethod
    def _known_task(cls, task: str) -> str:
        plugin.check_choice("task", task, plugin.names("evaluate"))
        return task

    @field_validator("settings", mode="before")
    @classmethod
    def _of_its_task(cls, value: Any, info: Any) -> Any:
        if isinstance(value, TaskSettings) or "task" not in info.data:
            return value
        return plugin.task_settings(info.data["task"]).model_validate(value)

    @model_validator(mode="after")
    def _training_fits_its_task(self) -> EvaluateSettings:
        if self.settings.trains != (self.train is not None):
            advice = "needs a section" if self.settings.trains else "trains nothing, remove the section"
            raise ValueError(f"task {self.task} {advice} 'train'")
        if self.train:
            self.settings.check_training(self.train)
        return self


class EvaluateConfig(EvaluateSettings, JobConfig):
    """The config of an evaluation of a run at a scale.

    Args:
        pretraining: hash of the run's config.
        data: 'train', 'val' and, of a fine-tuning whose scale has one, the extra validation set 'extra'.
        init: the fine-tuning it starts from, None for the pre-trained encoder.
    """

    scale: str
    run: str
    evaluation: str
    pretraining: str
    numerics: dict[str, int]
    data: dict[str, DataConfig]
    init: FineTunedInit | None = None

    @property
    def precision(self) -> str:
        """Number format of the network: that of its training; float32 where nothing is trained."""
        return self.train.precision if self.train else "fp32"

    def encoder_of(self, run: PretrainConfig) -> Component:
        """The run's encoder, changed by the fine-tuning before this evaluation, if there is one, and by itself."""
        return run.encoder.changed(**(self.init.encoder if self.init else {}) | self.encoder)


class FeaturesConfig(JobConfig):
    """What determines the frozen features that an evaluation reads, beside the seed of the encoder.

    Every evaluation has its own: features go when they are read, so a new evaluation would have shared ones made again,
    and Snakemake would repeat all that had read them before.

    Args:
        data: by split.
        mask_ratio, masked_patch_px: of the random mask that hides a part of every training image; None where images
            are whole, as all that are scored are.
    """

    scale: str
    evaluation: str
    data: dict[str, DataConfig]
    pretraining: str
    encoder: dict[str, Any]
    image_px: int | tuple[int, int]
    score_crop: float
    score_batch: int
    precision: str
    numerics: dict[str, int]
    init: FineTunedInit | None = None
    mask_ratio: float | None = Field(default=None, exclude_if=lambda ratio: ratio is None)
    masked_patch_px: int | None = Field(default=None, exclude_if=lambda side: side is None)

    @property
    def name(self) -> str:
        """Name in paths, such as 192px_0123456789ab."""
        size = "x".join(map(str, dict.fromkeys(sides(self.image_px))))
        return f"{size}px_{self.hash}"


class SizeConfig(JobConfig):
    """What is counted of a run: its networks, and those of its fine-tuning with so many classes."""

    scale: str
    run: str
    pretraining: PretrainConfig
    finetune: EvaluateConfig | None
    classes: int
