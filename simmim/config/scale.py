"""Scales (`config/scales/`): what becomes of the paper's data, pixels, epochs, batches and widths."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from simmim.config.sections import DemoDataSection, Section

EXTRA = "_extra"  # of a role: the extra validation set beside the set of that role


class ScaleConfig(Section):
    """One file of `config/scales/`.

    Args:
        datasets: role to a data set of datasets.tsv, or to several: a row reads the first that is packed large enough
            for its input.
        demo_data: how the demo's data are made, for a scale that uses them.
        pixels: pixels of the paper to pixels here, for every setting that ends in `_px`; None keeps them.
        pretrain_epochs: factor of all lengths of pre-training.
        encoders, heads, methods: by component, the settings that it has here.
        pretrain: what replaces values of a recipe for pre-training.
        tokenizers: the same by row of tokenizers.tsv.
        evaluate: the same for evaluations, by task or by recipe.
        seeds: run to its number of pre-trainings; run/evaluation to how many of them it takes, the first ones.
        runs: rows of pretrain.tsv that the scale runs.
        without: evaluations that it leaves out.
    """

    datasets: dict[str, Annotated[tuple[str, ...], Field(min_length=1)]]
    demo_data: DemoDataSection | None = None
    pixels: dict[int, int] | None = None
    pretrain_epochs: float = Field(default=1.0, gt=0)
    encoders: dict[str, dict[str, Any]] = {}
    heads: dict[str, dict[str, Any]] = {}
    methods: dict[str, dict[str, Any]] = {}
    pretrain: dict[str, Any] = {}
    tokenizers: dict[str, dict[str, Any]] = {}
    evaluate: dict[str, dict[str, Any]] = {}
    seeds: dict[str, Annotated[int, Field(ge=1)]] = {}
    runs: Literal["all"] | list[str] = "all"
    without: list[str] = []

    @field_validator("runs", mode="before")
    @classmethod
    def _all_or_a_list(cls, value: Any) -> Any:
        if value != "all" and not (isinstance(value, list) and all(isinstance(run, str) for run in value)):
            raise ValueError("a list of rows of pretrain.tsv is expected, such as [default], or 'all'")
        return value

    @field_validator("datasets", mode="before")
    @classmethod
    def _one_is_a_list_of_one(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {role: [names] if isinstance(names, str) else names for role, names in value.items()}

    @property
    def widths(self) -> dict[str, dict[str, dict[str, Any]]]:
        """By section of a pre-training and component, its settings at this scale."""
        return {"encoder": self.encoders, "head": self.heads, "method": self.methods}
