"""Settings of the training loop, the same for every task (torch-free, so that sheets are checked at once)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Compile = Literal["auto", "on", "off"]
Beta = Annotated[float, Field(ge=0, lt=1)]


class TrainSettings(BaseModel):
    """How to optimise; the paper's values stand in `config/recipes/`.

    Args:
        epochs: passes over the data; 0 leaves the network as it was initialised.
        batch: images of one update over all processes; micro-batches and accumulation follow from it.
        micro_batch: the most images one process takes through the network at once.
        repeats: how often an image follows itself in the stream of samples, each time with another crop
            and augmentation (DeiT's repeated augmentation); an epoch keeps its length and shows one image in `repeats`.
        base_lr: peak learning rate of a batch of `base_lr_batch` images; it scales linearly with the batch.
        warmup_lr: where the linear warm-up starts, for the same reference batch.
        min_lr: where the cosine or the straight line ends, for the same reference batch.
        milestones: rising shares of the training after which the step schedule multiplies the rate by `gamma`; no other
            schedule reads them, so that a row can replace a recipe's schedule.
        released_cosine: count the cosine from step 0 as the released code does, not from the end of the warm-up.
        clip_norm: largest global gradient norm, applied once per update; 0 does not clip.
        compile: run blocks compiled (`torch.compile`), "on" or "off"; "auto" does where ten passes at the start of a
            training are faster and give the same loss (`simmim.train.compiling`).
        sharded: split weights, gradients and moments over the processes (FSDP) instead of keeping a copy on each.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    epochs: float = Field(ge=0)
    warmup_epochs: float = Field(default=0, ge=0)
    batch: int = Field(ge=1)
    micro_batch: int = Field(default=128, ge=1)
    # Left out of a config that does not use it, whose hash and results stay what they were.
    repeats: int = Field(default=1, ge=1, exclude_if=lambda repeats: repeats == 1)
    base_lr: float = Field(gt=0)
    base_lr_batch: int = Field(default=512, ge=1)
    warmup_lr: float = Field(default=0, ge=0)
    min_lr: float = Field(default=0, ge=0)
    schedule: Literal["cosine", "step", "linear"] = "cosine"
    released_cosine: bool = False
    milestones: tuple[float, ...] = ()
    gamma: float = Field(default=0.1, gt=0, le=1)
    betas: tuple[Beta, Beta] = (0.9, 0.999)
    weight_decay: float = Field(default=0.05, ge=0)
    layer_decay: float = Field(default=1.0, gt=0, le=1)
    clip_norm: float = Field(default=5.0, ge=0)
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    workers: int = Field(default=0, ge=0)
    log_every_steps: int = Field(default=10, ge=1)
    save_every_steps: int = Field(default=500, ge=1)
    save_every_minutes: float = Field(default=15, gt=0)
    sharded: bool = False
    compile: Compile = "auto"

    @field_validator("compile", mode="before")
    @classmethod
    def _yaml_reads_on_as_true(cls, value: Any) -> Any:
        return {True: "on", False: "off"}.get(value, value) if isinstance(value, bool) else value

    @field_validator("milestones")
    @classmethod
    def _shares_of_the_training(cls, milestones: tuple[float, ...]) -> tuple[float, ...]:
        if not all(0 < share < 1 for share in milestones):
            raise ValueError("milestones are shares of the training, above 0 and below 1: 90 of 100 epochs is 0.9")
        if list(milestones) != sorted({*milestones}):
            raise ValueError("milestones must rise: write the earliest one first, and each once")
        return milestones

    @model_validator(mode="after")
    def _warm_up_within_training(self) -> TrainSettings:
        if self.warmup_epochs > self.epochs > 0:
            raise ValueError(f"warmup_epochs {self.warmup_epochs} must not exceed epochs {self.epochs}")
        first = min(self.milestones, default=1.0)
        # 29 / 100 is 0.29, and 0.29 x 100 less than 29.
        if self.schedule == "step" and self.epochs and self.warmup_epochs / self.epochs > first:
            raise ValueError(
                f"warmup_epochs {self.warmup_epochs:g} end after the first milestone, {first:g} of {self.epochs:g} "
                f"epochs: warm up for {first * self.epochs:g} epochs at the most, or set a later milestone"
            )
        return self

    @property
    def lr_factor(self) -> float:
        """What turns the rates written for the reference batch into those that are used."""
        return self.batch / self.base_lr_batch

    def images_at_once(self, processes: int = 1) -> int:
        """Images of a micro-batch; 0 where there are more processes than images in a batch."""
        return micro_batch_size(self.batch // processes, self.micro_batch)

    def steps(self, samples: int) -> int:
        """Updates in all for a data set of this size.

        Raises:
            ValueError: where a training of more than 0 epochs would make no update at all.
        """
        updates = self.epochs * samples / self.batch
        if samples and self.epochs and not round(updates):
            raise ValueError(
                f"{updates:.2g} updates: {samples} images x {self.epochs:g} epochs / batch {self.batch} round to none; "
                "lower train.batch or raise train.epochs"
            )
        return round(updates)

    def first_stage_steps(self, samples: int) -> int:
        """Updates before the first milestone, rounded down to whole log rows; longer runs may go on from there.

        0 is allowed: the run goes on from the initial weights and makes all its updates.
        """
        steps = self.steps(samples)
        stage = round(min(self.milestones, default=1.0) * steps)
        return stage - stage % self.log_every_steps if stage < steps else stage


def micro_batch_size(share: int, most: int) -> int:
    """Images of a micro-batch: as many as divide a process's share of the batch evenly, `most` at the most."""
    return next((size for size in range(min(share, most), 0, -1) if share % size == 0), 0)
