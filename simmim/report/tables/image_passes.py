"""Does longer pre-training help? Runs that differ in their length alone, what they cost, and training from scratch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simmim.report.image_passes import (
    METRIC,
    Length,
    hours_text,
    lengths,
    needed,
    passes_text,
    shown_evaluations,
    slope_per_decade,
    slope_words,
)
from simmim.report.measurements import MEAN_NOTE, measurement
from simmim.report.scale_facts import ResultFile, ScaleFacts
from simmim.report.status import NOT_RUN, measured_by, status
from simmim.report.table import Body, Line, records_of
from simmim.report.tables._pairs import Pair, compared

if TYPE_CHECKING:
    from simmim.report.results import Results

title = "Longer pre-training against from scratch"
section = "Does pre-training help?"


def needs(facts: ScaleFacts) -> list[ResultFile]:
    """As the figure of the same name."""
    return needed(facts)


def make(results: Results, facts: ScaleFacts) -> Body:
    """A line per run and evaluation, the shortest run first."""
    frame, evaluations = results.records, shown_evaluations(facts)
    baseline = facts.baselines.get(facts.reference, "")
    found = {name: lengths(frame, facts, name) for name in evaluations}
    keys = [(name, each) for name, runs in found.items() for each in runs]
    pairs = compared([Pair(each.score, measurement(frame, baseline, name, METRIC)) for name, each in keys])
    slopes = [f"{facts.evaluation_label(name)} {slope_words(slope_per_decade(runs))}" for name, runs in found.items()]
    caption = (
        f"{MEAN_NOTE} Runs that differ in the length of their pre-training alone. Image passes: images seen in one "
        "pre-training, each as often as it was seen. Hours: of all devices together, of the fastest pre-training on "
        "the machine of its records. From scratch: the same encoder without pre-training, by the same evaluation. "
        "Difference: the mean [95 % interval by Student's t], paired by the seeds that both have; verdicts after "
        f"Holm's correction over the lines of this table. Slope of {METRIC} over log10 of the passes by least squares "
        f"over pre-trainings [95 % interval]: {'; '.join(slopes) or 'none'}."
    )
    return Body(caption, [_line(name, each, pair, facts) for (name, each), pair in zip(keys, pairs)])


def _line(evaluation: str, each: Length, pair: Pair, facts: ScaleFacts) -> Line:
    cells = {
        "run": each.run,
        "image passes": passes_text(each.passes) if each.passes else NOT_RUN,
        "hours of pre-training": hours_text(each.seconds) if each.seconds else NOT_RUN,
        "measured by": measured_by(facts, evaluation, METRIC),
        "pre-trained": pair.mine.text if pair.mine else NOT_RUN,
        "from scratch": pair.base.text if pair.base else NOT_RUN,
        "difference": pair.difference,
        "n": pair.n,
        "verdict": pair.verdict,
        "scale": facts.scale,
        "status": status(pair.mine, facts, each.run, evaluation),
    }
    cost = tuple(records_of(each.seconds, "hours of pre-training")) if each.seconds else ()
    behind = {"pre-trained": pair.mine, "from scratch": pair.base}
    return Line(cells, each.run, evaluation, METRIC, None, behind, records=cost, typed=pair.mine)
