"""Runs that differ in the length of their pre-training alone: what they reach, over the images they have seen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from simmim.report.measurements import Measurement, fastest, interval_text, measurement, signed
from simmim.report.scale_facts import ResultFile, ScaleFacts
from simmim.report.statistics import Slope, slope_of

if TYPE_CHECKING:
    import pandas as pd

FEWEST = 3  # lengths: through two a line can always be drawn
METRIC = "top1"


class Length(NamedTuple):
    """A run, what it cost and what it reached; None for what was not measured.

    Args:
        passes: images seen in one pre-training, each as often as it was seen.
        seconds: of training, of all devices together, of the fastest pre-training.
    """

    run: str
    passes: int | None
    seconds: Measurement | None
    score: Measurement | None


def needed(facts: ScaleFacts) -> list[ResultFile]:
    """Trainings and evaluations of the runs and of their encoder from scratch; none where there are too few lengths."""
    evaluations = shown_evaluations(facts)
    if not evaluations:
        return []
    baseline = facts.baselines.get(facts.reference, "")
    keys = [(run, evaluation) for evaluation in evaluations for run in (*facts.lengths, baseline)]
    scores = [ResultFile("evaluate", *key) for key in keys if key in facts.evaluated]
    return [ResultFile("pretrain", run) for run in facts.lengths] + scores


def shown_evaluations(facts: ScaleFacts) -> list[str]:
    """The classifications that enough of the runs have."""
    found = [(run, name) for (run, name), each in facts.evaluated.items() if each.role.startswith("classify")]
    names = facts.in_order(name for _, name in found)
    return [name for name in names if sum((run, name) in found for run in facts.lengths) >= FEWEST]


def lengths(frame: pd.DataFrame, facts: ScaleFacts, evaluation: str) -> list[Length]:
    """The runs by one of their evaluations, the shortest first and those that were not trained last."""
    found = []
    for run, batch in facts.lengths.items():
        seconds = measurement(frame, run, "pretrain", "train_seconds")
        passes = batch * int(seconds.rows["step"].max()) if seconds else None
        found.append(Length(run, passes, seconds and fastest(seconds), measurement(frame, run, evaluation, METRIC)))
    return sorted(found, key=lambda each: each.passes or math.inf)


def drawable(found: Sequence[Length]) -> list[Length]:
    """Those that have both a length and a finite score."""
    return [each for each in found if each.passes and each.score and each.score.is_finite]


def slope_per_decade(found: Sequence[Length]) -> Slope | None:
    """The slope of a score over log10 of the passes, pre-trainings as points; None with fewer than `FEWEST` lengths."""
    points = [(math.log10(each.passes), value) for each in drawable(found) for value in each.score.by_pretraining]
    return slope_of(*zip(*points)) if points else None


def slope_words(slope: Slope | None) -> str:
    """`+2.1 [+1.2, +3.0] per tenfold length (n = 9)`, or why there is none."""
    if slope is None:
        return f"no slope: fewer than {FEWEST} lengths were measured"
    interval = interval_text((slope.low, slope.high), 1)
    return f"{signed(slope.slope, 1)} {interval} per tenfold length (n = {slope.n})"


def passes_text(passes: float) -> str:
    """`0.18 M`."""
    return f"{_two_digits(passes / 1e6)} M"


def hours_text(seconds: Measurement) -> str:
    """`1.5`."""
    return _two_digits(seconds.mean / 3600)


def _two_digits(value: float) -> str:
    """`0.18`, and `130` where `.2g` alone gives `1.3e+02`."""
    return f"{float(f'{value:.2g}'):g}"
