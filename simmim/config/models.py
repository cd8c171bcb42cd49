"""The complete configs of packing, tokenizers and pre-training: frozen, checked, and known by their hash.

Code takes these; they become JSON where they are written to disk (`as_json`).
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from simmim import PACKED_FORMAT
from simmim.config.component_settings import arguments_of, checked
from simmim.config.machine_settings import without_machine_settings
from simmim.config.packing import PackSection
from simmim.config.sections import (
    DemoDataSection,
    GeometrySection,
    ImagesSection,
    InitSection,
    LossSection,
    Section,
)
from simmim.config.training import TrainSettings
from simmim.plugin import Component
from simmim.storage.identity import config_hash

# The component sections of a pre-training and the kind of component that each holds.
PRETRAIN_KINDS = {"method": "methods", "encoder": "encoders", "mask": "masks", "head": "heads", "target": "targets"}


class JobConfig(Section):
    """What all configs of jobs can do."""

    def as_json(self) -> dict[str, Any]:
        """JSON values, as they are stored and hashed: all that determines what the job makes."""
        return without_machine_settings(self.model_dump(mode="json"))

    @cached_property
    def hash(self) -> str:
        """Twelve hex digits that change with any value but those of `machine_settings`."""
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
    seeds: int = Field(default=1, ge=1, exclude=True)  # no training depends on how many there are

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
        return self.images.channel_count

    @property
    def short_side_px(self) -> int:
        """Short side of images that a crop of all of them need not be enlarged from."""
        return max(self.geometry.image_px)


class PretrainConfig(PretrainSettings, JobConfig):
    """The config of a pre-training run at a scale."""

    scale: str
    run: str
    numerics: dict[str, int]
    data: dict[str, DataConfig]
    tokenizer: TokenizerConfig | None = None

    @property
    def pictures_hash(self) -> str:
        """Of what its pictures show: changes with the choice of bands too."""
        shown = self.data["val"].pack.shown_bands
        return config_hash({"pretraining": self.hash, "shown_bands": shown}) if shown else self.hash

    @property
    def has_first_stage(self) -> bool:
        """Whether it is done in two jobs, up to its first milestone and on from there (step schedule)."""
        return self.train.schedule == "step" and self.train.epochs > 0

    @property
    def is_trained(self) -> bool:
        """Whether its encoder has learnt anything; a run from scratch is not."""
        return self.train.epochs > 0 or bool(self.init.encoder)
