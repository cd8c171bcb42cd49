"""One row of every sheet of `config/`, as it is written: text in cells."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from simmim.config.sections import Section

Name = Annotated[str, Field(pattern="^[A-Za-z0-9_]+$")]
NameOrNone = Annotated[str, Field(pattern="^[A-Za-z0-9_]*$")]
Names = Annotated[str, Field(pattern="^([A-Za-z0-9_]+( [A-Za-z0-9_]+)*)?$")]
Text = Annotated[str, Field(min_length=1)]
_SHARE = r" +(?:0(?:\.\d*)?|\.\d+|1(?:\.0*)?)"


def _outline(text: str) -> str:
    if not re.fullmatch(rf"box(?:{_SHARE}){{4}}|polygon(?:{_SHARE}{_SHARE}){{3,}}", text):
        forms = "'box left top right bottom' or 'polygon x y x y x y ...'"
        raise ValueError(f"an outline is {forms}, in shares of the image's width and height from 0 to 1")
    return text


Outline = Annotated[str, AfterValidator(_outline)]


class PretrainRow(Section):
    """A row of pretrain.tsv: a pre-training run.

    Args:
        label: what figures call it.
        figures: those that show its stored images.
        reference: whether all other runs are compared with this one.
        scales: the only scales that have this row; empty for all.
    """

    run: Name
    recipe: Name
    set: str = ""
    label: str = ""
    figures: Names = ""
    reference: Literal["", "yes"] = ""
    scales: Names = ""


class ModelRow(Section):
    """A row of models.tsv: a short name for an encoder with the recipe that pre-trains it on own images."""

    model: Name
    recipe: Name
    set: str = ""


class EvaluateRow(Section):
    """A row of evaluate.tsv: an evaluation of a run.

    Args:
        label: what tables and figures call the evaluation, written once.
        metrics: what its runs are compared by, written once.
        scales: the only scales that have this row; empty for all those of its run.
    """

    run: Name
    evaluation: Name
    recipe: Name
    set: str = ""
    label: str = ""
    metrics: Names = ""
    scales: Names = ""


class DatasetRow(Section):
    """A row of datasets.tsv: one split of a data set; samples, classes and 1e9 bytes as published.

    Args:
        label: what tables and figures call the data set, written once.
    """

    dataset: Name
    split: Name
    source: Name
    made_by: Literal["", "demo"] = ""
    set: str = ""
    samples: Annotated[str, Field(pattern="^[0-9]*$")] = ""
    classes: Annotated[str, Field(pattern="^[0-9]*$")] = ""
    gigabytes: Annotated[str, Field(pattern="^[0-9.]*$")] = ""
    label: str = ""


class TokenizerRow(Section):
    """A row of tokenizers.tsv.

    Args:
        instead_of: of published weights, the tokenizer that they take the place of where their file is there.
    """

    tokenizer: Name
    kind: Name
    set: str = ""
    instead_of: NameOrNone = ""


class PaperRow(Section):
    """A row of paper.tsv: a published cell and which of our results stands beside it.

    Args:
        run: empty where the paper prints no number.
        evaluation: one or several, of which the best counts.
        against: run whose training time a relative cost is divided by.
        x: of a point that was read off a figure, its place on the horizontal axis.
    """

    table: Name
    row: Text
    column: Text
    run: NameOrNone = ""
    evaluation: Names = ""
    metric: str = ""
    value: Text
    note: str = ""
    against: NameOrNone = ""
    x: Annotated[str, Field(pattern="^([0-9]+([.][0-9]+)?)?$")] = ""


class TableRow(Section):
    """A row of tables.tsv: what a table of paper.tsv is called and the section of the report page that it stands in."""

    table: Name
    title: Text
    section: Text


class ClaimRow(Section):
    """A row of claims.tsv: what the paper claims by comparing runs; `first` must be `relation` `second`.

    Args:
        section: where the paper says so, and behind a comma the table or figure that it is about: claims about the
            same one are corrected for each other.
        first, second: a run, `each of` or `best of` several, or a gain (`run-other`); `run/evaluation` is measured by
            another evaluation than the row's. `second` is empty for a rising series.
        evaluation: one or several, of which the best counts.
        tolerance: of 'close to' and 'not worse than', in the metric's unit, then SCALE=NUMBER for scales that have
            another one; elsewhere, where `paper` is no number, the difference that counts.
        paper: the difference as printed.
    """

    claim: Text
    section: Text
    first: Text
    relation: Literal["better than", "not worse than", "close to", "rising"]
    second: str = ""
    evaluation: Annotated[str, Field(pattern="^[A-Za-z0-9_]+( [A-Za-z0-9_]+)*$")]
    metric: Text
    tolerance: str = ""
    paper: Text


class DrawnMaskRow(Section):
    """A row of drawn_masks.tsv: the outline of the object in one image, as `mask=drawn` takes it."""

    dataset: Text
    sample_id: Text
    outline: Outline


class ConfigFile(Section):
    """config/config.yaml: what `snakemake` makes without a target, where data lie, what needs much of a cluster."""

    scale: str = Field(default="paper", description="scale that snakemake makes without a target")
    data_root: str = Field(default="data", description="folder that stands for $data in the sheets")
    large: list[Name] = Field(default=[], description="runs that get the resources of pretrain_large and its like")

    def check_given(self, given: ConfigFile) -> None:
        """Refuse what Snakemake was given beside this file, but for the scale: its jobs' verbs read the file alone.

        Raises:
            ValueError: with the setting, both values and where to write it.
        """
        for name in sorted(given.model_fields_set - {"scale"}):
            value, stands = getattr(given, name), getattr(self, name)
            if value != stands:
                differs = f"{name} is {value!r}, and config/config.yaml says {stands!r}"
                raise ValueError(f"{differs}; only scale can be given so: write it there")
