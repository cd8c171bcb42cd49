"""The paper's qualitative claims (section 4) against our runs: each a comparison of two runs over seeds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from simmim.report.measurements import (
    SEEDS_FOR_A_MEAN,
    Measurement,
    evaluation_label,
    measurement,
    metric_label,
    number,
    seeds_ahead,
    signed,
    spread_of_difference,
)
from simmim.report.names import Facts
from simmim.report.paper_tables import TOO_FEW, status
from simmim.report.table import NOT_RUN, NOTHING, Line, Table, table

CLOSE_POINTS = 1.0
WIDEST_SPREAD = 2.0  # beyond it, finding no difference says nothing
INSIDE = "undecided: inside the seeds' spread"


def claims(frame: pd.DataFrame, scale: str, facts: Facts) -> Table:
    """One line per claim: both runs, their difference, its spread over seeds, and whether the claim holds here."""
    caption = (
        f"Mean ± standard deviation over seeds where there are at least {SEEDS_FOR_A_MEAN}, otherwise every value. "
        "Spread: root of the sum of both variances. 'Better' holds, or is contradicted, only beyond the spread. "
        f"'Close' and 'not worse' hold within {CLOSE_POINTS:g} point where the spread is at most {WIDEST_SPREAD:g}, "
        "and are contradicted beyond both that point and the spread. Ahead: in how many seeds the first run is higher."
        + _trained_once(facts)
    )
    lines = [_line(frame, scale, row, facts) for row in facts.claims]
    return table("claims", "The paper's claims against our runs", caption, scale, lines)


def _trained_once(facts: Facts) -> str:
    compared = dict.fromkeys(run for row in facts.claims for run in (row["run"], row["other"]))
    once = [run for run in compared if run in facts.trained_once]
    words = " These runs were pre-trained once, so their seeds vary labels, head and order of fine-tuning only: "
    return f"{words}{', '.join(once)}." if once else ""


def verdict(relation: str, difference: float, spread: float) -> str:
    """Whether `difference`, first run minus other, bears out a relation: better, not worse or close."""
    if relation == "better":
        if abs(difference) <= spread:
            return INSIDE
        return "holds" if difference > 0 else "contradicted"
    distance = abs(difference) if relation == "close" else -difference
    if distance > max(CLOSE_POINTS, spread):
        return "contradicted"
    if spread > WIDEST_SPREAD:
        return "undecided: the seeds' spread is too wide"
    return "holds" if distance <= CLOSE_POINTS else INSIDE


def _line(frame: pd.DataFrame, scale: str, row: Mapping[str, str], facts: Facts) -> Line:
    run, other, evaluation, metric = row["run"], row["other"], row["evaluation"], row["metric"]
    ours, base = measurement(frame, run, evaluation, metric), measurement(frame, other, evaluation, metric)
    missing = other if base is None else run
    cells = {
        "claim": row["claim"],
        "verdict": NOT_RUN,
        "measured by": f"{evaluation_label(evaluation)}, {metric_label(metric)}",
        "first": f"{run}: {ours.text if ours else NOT_RUN}",
        "other": f"{other}: {base.text if base else NOT_RUN}",
        "difference": NOTHING,
        "spread": NOTHING,
        "ahead": NOTHING,
        "paper's difference": row["paper"],
        "scale": scale,
        "status": status(ours if base is not None else None, scale, missing, evaluation, facts),
    }
    measured: dict[str, Any] = {}
    if ours and base:
        cells |= _compared(row["relation"], ours, base)
        measured = {"first": ours, "other": base}
    elif cells["status"] != NOT_RUN:
        cells["verdict"] = NOTHING
    return Line(cells, run, evaluation, metric, None, measured)


def _compared(relation: str, ours: Measurement, base: Measurement) -> dict[str, str]:
    ahead = {"ahead": seeds_ahead(ours, base)}
    if not (ours.claims_mean and base.claims_mean):
        return ahead | {"verdict": f"no verdict: {TOO_FEW}"}
    difference, spread = ours.mean - base.mean, spread_of_difference(ours, base)
    cells = {"difference": signed(difference, 1), "spread": number(spread, 1)}
    return ahead | cells | {"verdict": verdict(relation, difference, spread)}
