"""How far plain colour gets on made data, beside what the encoders get on the same labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simmim.report.data_card import labels_words
from simmim.report.measurements import MEAN_NOTE, measurement, number
from simmim.report.scale_facts import ResultFile, ScaleFacts
from simmim.report.status import NOTHING, status
from simmim.report.table import Body, Line

if TYPE_CHECKING:
    from simmim.report.measurements import Measurement
    from simmim.report.results import DataCard, Results

title = "Colour alone, and the encoders, on the same labels"
section = "How far does colour alone get?"


def needs(facts: ScaleFacts) -> list[ResultFile]:
    """The data card, and how one run and its encoder from scratch classify."""
    if not facts.has_data_card:
        return []
    run = facts.shown_run(facts.trained)
    runs = (run, facts.baselines.get(run))
    ours = [need for need in facts.evaluations() if need.run in runs]
    return [
        ResultFile("demo_data"),
        *(need for need in ours if facts.evaluated[need.run, need.evaluation].role == "classify"),
    ]


def make(results: Results, facts: ScaleFacts) -> Body:
    """One line per classifier of colours, then one per evaluation."""
    card, frame = results.data_card, results.records
    lines = _colour_lines(card, facts) if card else []
    for run, evaluation in frame[["run", "evaluation"]].drop_duplicates().itertuples(index=False, name=None):
        found = measurement(frame, run, evaluation, "top1")
        lines += [_line(found, run, evaluation, facts)] if found else []
    caption = (
        f"{MEAN_NOTE} A classifier of colours alone shows how much of the task needs no learnt features; a number "
        "above it is what a network adds."
    )
    return Body(caption, lines)


def _line(found: Measurement, run: str, evaluation: str, facts: ScaleFacts) -> Line:
    kind = "pre-trained" if run in facts.trained else "random encoder"
    cells = {
        "what": f"{facts.evaluation_label(evaluation)}, {run} ({kind})",
        "top-1 (%)": found.text,
        "n": found.count,
        "scale": facts.scale,
        "status": status(found, facts, run, evaluation),
    }
    return Line(cells, run, evaluation, "top1", None, {"top-1 (%)": found})


def _colour_lines(card: DataCard, facts: ScaleFacts) -> list[Line]:
    return [
        _colour_line(f"{method}, {labels_words(labels)}", value, card.source, facts)
        for labels, methods in card.content["colour_baselines"].items()
        for method, value in methods.items()
    ]


def _colour_line(what: str, value: float, source: str, facts: ScaleFacts) -> Line:
    cells = {
        "what": what,
        "top-1 (%)": number(value, 1),
        "n": NOTHING,
        "scale": facts.scale,
        "status": f"measured at {facts.scale} scale when the data were made",
    }
    record = {"column": "top-1 (%)", "metric": "top1", "part": what, "value": float(value), "source": source}
    return Line(cells, metric="top1", records=(record,))
