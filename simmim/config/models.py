"""The complete config of every kind of job: frozen, checked, and known by its hash.

Code takes these; they become JSON where they are written to disk (`model_dump(mode="json")`).
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, Literal

from pydantic import Field, SerializeAsAny, field_validator, model_validator

from simmim import PACKED_FORMAT, plugin
from simmim.config.component_settings import arguments_of, checked
from simmim.config.sections import (
    DemoDataSection,
    GeometrySection,
    ImagesSection,
    InitSection,
    LossSection,
    PackSection,
    Section,
    TaskSettings,
)
from simmim.config.training import TrainSettings
from simmim.plugin import Component
from simmim.storage.identity import config_hash

PRETRAINED = "pretrain"  # what `init` of an evaluation says where it is the pre-trained encoder
# The component sections of a pre-training and the kind of component that each holds.
PRETRAIN_KINDS = {"method": "methods", "encoder": "encoders", "mask": "masks", "head": "heads", "target": "targets"}


class JobConfig(Section):
    """What all configs of jobs can do."""

    def as_json(self) -> dict[str, Any]:
        """JSON values, as they are stored and hashed."""
        return self.model_dump(mode="json")

    @cached_property
    def hash(self) -> str:
        """Twelve hex digits that change with any value."""
        return config_hash(self.as_json())


class DataConfig(JobConfig):
    """One split of a data set: how it is read and packed.

    Args:
        made_by: "demo" where the package makes it, as `made_from` says.
        source: the adapter (`simmim.data.sources`) and its settings; `$data` stays in its paths until it is packed, for
            where data lie on a machine belongs to no result.
    """

    dataset: str
    split: str
    made_by: Literal["", "demo"] = ""
    made_from: DemoDataSection | None = None
    source: Component
    pack: PackSection = PackSection()
    numerics: int

    @cached_property
    def packed_hash(self) -> str:
        """Of the packed files: changes with their format too."""
        return config_hash(self.as_json() | {"format": PACKED_FORMAT})


class TokenizerSettings(Section):
    """What makes the codes that a target of tokens predicts, as a sheet says.

    Args:
        kind: a file of `simmim.tokenizers` and its settings.
        train: for a kind that is trained.
        seed: of everything that is drawn.
    """

    kind: Component
    images: ImagesSection = ImagesSection()
    train: TrainSettings | None = None
    seed: int = Field(default=0, ge=0)


class TokenizerConfig(TokenizerSettings, JobConfig):
    """The config of a tokenizer; `data` is empty where its weights are published ones."""

    scale: str
    name: str
    numerics: dict[str, int]
    data: dict[str, DataConfig]

    @property
    def published_file(self) -> str:
        """The file of published weights, "" for a tokenizer that is fitted."""
        return self.kind.settings.get("file", "")


class PretrainSettings(Section):
    """A pre-training as a recipe and a row say, in the paper's pixels and epochs or in a scale's.

    Args:
        method: a file of `simmim.methods`; which of mask, head and target it needs are arguments of its class.
        role: which of the scale's data sets it is trained on.
        seeds: trainings, each with its own initial weights, masks, crops and order of samples.
    """

    method: Component = Component(name="simmim")
    role: str = "pretrain"
    init: InitSection = InitSection()
    encoder: Component
    geometry: GeometrySection
    mask: Component | None = None
    head: Component | None = None
    target: Component | None = None
    loss: LossSection = LossSection()
    images: ImagesSection = ImagesSection()
    train: TrainSettings
    seeds: int = Field(default=1, ge=1)

    @field_validator(*PRETRAIN_KINDS, mode="before")
    @classmethod
    def _known_settings(cls, value: Any, info: Any) -> Any:
        if value is None or isinstance(value, Component):
            return value
        if "name" not in value:
            raise ValueError("it names no component; give it a 'name'")
        return checked(PRETRAIN_KINDS[info.field_name], value)

    @model_validator(mode="after")
    def _has_what_its_method_needs(self) -> PretrainSettings:
        parts = {"mask": self.mask, "head": self.head, "target": self.target}
        takes = arguments_of("methods", self.method.name)
        missing = [name for name, part in parts.items() if name in takes and part is None]
        unread = [name for name, part in parts.items() if name not in takes and part is not None]
        patch_px = self.geometry.masked_patch_px
        if "mask" in takes and patch_px is None:
            missing.append("geometry.masked_patch_px")
        if "mask" not in takes and patch_px is not None:
            unread.append("geometry.masked_patch_px")
        if missing or unread:
            raise ValueError(
                f"method {self.method.name} {'needs' if missing else 'has no'} {', '.join(missing or unread)}"
            )
        return self

    @property
    def channels(self) -> int:
        """Channels of the images."""
        return len(self.images.mean)


class PretrainConfig(PretrainSettings, JobConfig):
    """The config of a pre-training run at a scale."""

    scale: str
    run: str
    numerics: dict[str, int]
    data: dict[str, DataConfig]
    tokenizer: TokenizerConfig | None = None

    @property
    def has_first_stage(self) -> bool:
        """Whether it is done in two jobs, up to its first milestone and on from there (step schedule)."""
        return self.train.schedule == "step" and self.train.epochs > 0

    @property
    def is_trained(self) -> bool:
        """Whether its encoder has learnt anything; a run from scratch is not."""
        return self.train.epochs > 0 or bool(self.init.encoder)


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
        seeds: trainings, each with its own subset of labels, initial head and order of samples.
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
        data: 'train', 'val' and, of a fine-tuning whose scale has one, 'extra', a further set that is scored too.
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
    """What determines the frozen features that an evaluation reads of a split, beside the seed of the encoder.

    Every evaluation has its own: features go when they are read, so a new evaluation would have shared ones made again,
    and Snakemake would repeat all that had read them before. The batch belongs to it: it can change the last bits.
    """

    evaluation: str
    data: DataConfig
    pretraining: str
    encoder: dict[str, Any]
    image_px: int
    score_crop: float
    score_batch: int
    precision: str
    numerics: dict[str, int]
    init: FineTunedInit | None = None

    @property
    def name(self) -> str:
        """Name in paths, such as train_192px_0123456789ab."""
        return f"{self.data.split}_{self.image_px}px_{self.hash}"


class SizeConfig(JobConfig):
    """What is counted of a run: its networks, and those of its fine-tuning with so many classes."""

    scale: str
    run: str
    pretraining: PretrainConfig
    finetune: EvaluateConfig | None
    classes: int
