"""Fine-tunings that are scored on an extra validation set, such as ImageNet-V2 beside ImageNet-1K."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simmim.report.measurements import MEAN_NOTE, Measurement, measurement
from simmim.report.scale_facts import ResultFile, ScaleFacts
from simmim.report.status import NOTHING, status
from simmim.report.table import Body, Line

if TYPE_CHECKING:
    from simmim.report.results import Results

title = "Extra validation sets"
section = "The same classifiers on other images"


def needs(facts: ScaleFacts) -> list[ResultFile]:
    """Every evaluation that is scored on an extra set."""
    return [need for need in facts.evaluations() if facts.evaluated[need.run, need.evaluation].has_extra_set]


def make(results: Results, facts: ScaleFacts) -> Body:
    """Top-1 on each extra set beside that on the main one."""
    frame, extra = results.records, results.extra_records
    lines = []
    keys = extra[["run", "evaluation", "dataset"]].drop_duplicates()
    for run, evaluation, name in keys.itertuples(index=False, name=None):
        there = measurement(extra[extra["dataset"] == name], run, evaluation, "top1", "")
        lines.append(_line(measurement(frame, run, evaluation, "top1", ""), there, name, facts))
    caption = (
        f"{MEAN_NOTE} Trained once, scored on both. The extra set has the same classes and other images; "
        "how far they are new ones is for its makers to say."
    )
    return Body(caption, lines)


def _line(main: Measurement, found: Measurement, name: str, facts: ScaleFacts) -> Line:
    run, evaluation = found.rows["run"].iloc[0], found.evaluation
    cells = {
        "run": run,
        "task": facts.evaluation_label(evaluation),
        "extra set": facts.dataset_labels.get(name, name),
        "top-1 there (%)": found.text,
        "top-1 (%)": main.text,
        "difference": found.differences(main.mean) if main.claims_mean or main.n == 1 else NOTHING,
        "n": found.count,
        "scale": facts.scale,
        "status": status(found, facts, run, evaluation),
    }
    return Line(cells, run, evaluation, "top1", None, {"top-1 there (%)": found, "top-1 (%)": main})
