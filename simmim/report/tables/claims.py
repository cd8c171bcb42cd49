"""The paper's qualitative claims (section 4) against our runs: each a comparison of two runs over seeds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simmim.report.measurements import (
    SEEDS_FOR_A_MEAN,
    Measurement,
    measurement,
    metric_label,
    number,
    seeds_ahead,
    signed,
    spread_of_difference,
)
from simmim.report.scale_facts import Cell, ResultFile, ScaleFacts
from simmim.report.status import NOT_RUN, NOTHING, TOO_FEW, status
from simmim.report.table import Body, Line

if TYPE_CHECKING:
    import pandas as pd

    from simmim.report.results import Results

title = "The paper's claims against our runs"
section = "Do the paper's claims hold here?"

_CLOSE_POINTS = 1.0
_WIDEST_SPREAD = 2.0  # beyond it, finding no difference says nothing
_INSIDE = "undecided: inside the seeds' spread"


def needs(facts: ScaleFacts) -> list[ResultFile]:
    """The evaluations that claims.tsv compares, as far as the scale has them."""
    pairs = [(row[which], row["evaluation"]) for row in facts.claims for which in ("run", "other")]
    return [need for need in (ResultFile("evaluate", *pair) for pair in pairs) if need in facts.evaluations()]


def make(results: Results, facts: ScaleFacts) -> Body:
    """One line per claim: both runs, their difference, its spread over seeds, and whether the claim holds here."""
    caption = (
        f"Mean ± standard deviation over seeds where there are at least {SEEDS_FOR_A_MEAN}, otherwise every value. "
        "Spread: root of the sum of both variances. 'Better' holds, or is contradicted, only beyond the spread. "
        f"'Close' and 'not worse' hold within {_CLOSE_POINTS:g} point where the spread is at most {_WIDEST_SPREAD:g}, "
        "and are contradicted beyond both that point and the spread. Ahead: in how many seeds the first run is higher."
        + _trained_once(facts)
    )
    return Body(caption, [_line(results.records, row, facts) for row in facts.claims])


def verdict(relation: str, difference: float, spread: float) -> str:
    """Whether `difference`, first run minus other, bears out a relation: better, not worse or close."""
    if relation == "better":
        if abs(difference) <= spread:
            return _INSIDE
        return "holds" if difference > 0 else "contradicted"
    distance = abs(difference) if relation == "close" else -difference
    if distance > max(_CLOSE_POINTS, spread):
        return "contradicted"
    if spread > _WIDEST_SPREAD:
        return "undecided: the seeds' spread is too wide"
    return "holds" if distance <= _CLOSE_POINTS else _INSIDE


def _trained_once(facts: ScaleFacts) -> str:
    compared = dict.fromkeys(run for row in facts.claims for run in (row["run"], row["other"]))
    once = [run for run in compared if run in facts.trained_once]
    words = " These runs were pre-trained once, so their seeds vary labels, head and order of fine-tuning only: "
    return f"{words}{', '.join(once)}." if once else ""


def _line(frame: pd.DataFrame, row: Cell, facts: ScaleFacts) -> Line:
    run, other, evaluation, metric = row["run"], row["other"], row["evaluation"], row["metric"]
    ours, base = measurement(frame, run, evaluation, metric), measurement(frame, other, evaluation, metric)
    words = status(ours if base else None, facts, run if base else other, evaluation)
    cells = {
        "claim": row["claim"],
        "verdict": NOT_RUN if words == NOT_RUN else NOTHING,
        "measured by": f"{facts.evaluation_label(evaluation)}, {metric_label(metric)}",
        "first": f"{run}: {ours.text if ours else NOT_RUN}",
        "other": f"{other}: {base.text if base else NOT_RUN}",
        "difference": NOTHING,
        "spread": NOTHING,
        "ahead": NOTHING,
        "paper's difference": row["paper"],
        "scale": facts.scale,
        "status": words,
    }
    if not (ours and base):
        return Line(cells, run, evaluation, metric)
    cells |= _compared(row["relation"], ours, base)
    return Line(cells, run, evaluation, metric, None, {"first": ours, "other": base})


def _compared(relation: str, ours: Measurement, base: Measurement) -> dict[str, str]:
    ahead = {"ahead": seeds_ahead(ours, base)}
    if not (ours.claims_mean and base.claims_mean):
        return ahead | {"verdict": f"no verdict: {TOO_FEW}"}
    difference, spread = ours.mean - base.mean, spread_of_difference(ours, base)
    cells = {"difference": signed(difference, 1), "spread": number(spread, 1)}
    return ahead | cells | {"verdict": verdict(relation, difference, spread)}
