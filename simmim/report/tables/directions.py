"""Do our differences point the way the paper's do? Every accuracy against the reference run, in the paper and here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simmim.report.measurements import (
    Measurement,
    best_measurement,
    number,
    signed,
    spread_of_difference,
)
from simmim.report.scale_facts import Cell, ResultFile, ScaleFacts
from simmim.report.status import NOT_RUN, NOTHING, TOO_FEW, status
from simmim.report.table import Body, Line
from simmim.report.tables._paper import SECTION, cells_need, published, shown_evaluation

if TYPE_CHECKING:
    import pandas as pd

    from simmim.report.results import Results

title = "Do our differences point the paper's way?"
section = SECTION


def needs(facts: ScaleFacts) -> list[ResultFile]:
    """Every score of the paper's tables that the scale can have."""
    return cells_need(facts, [cell for cell in facts.paper.values() if cell["metric"] in facts.headline_metrics])


def make(results: Results, facts: ScaleFacts) -> Body:
    """One line per published accuracy whose column has one of the reference run, too."""
    lines = []
    for key, cell in facts.paper.items():
        reference = _reference(key, cell, facts)
        if reference is not None and cell["metric"] in facts.headline_metrics:
            lines.append(_line(results.records, key, cell, reference, facts))
    caption = (
        f"What changes when one thing differs from the run '{facts.reference}', in the paper and here. Spread: root of "
        "the sum of both variances over seeds. A difference inside the spread decides nothing; one outside it that has "
        "the other sign contradicts the paper and is printed as such."
    )
    return Body(caption, lines)


def verdict(difference: float, spread: float, theirs: float) -> str:
    """Whether our difference has the sign of the paper's, as far as the spread over seeds lets one say so."""
    if abs(difference) <= spread:
        same = "the paper's" if difference * theirs > 0 else "not the paper's"
        return f"undecided: inside the seeds' spread (direction is {same})"
    if round(theirs, 9) == 0:
        return "contradicts the paper, which prints no difference"
    return "agrees with the paper's direction" if difference * theirs > 0 else "contradicts the paper's direction"


def _reference(key: tuple[str, str, str], cell: Cell, facts: ScaleFacts) -> Cell | None:
    """The published cell of the reference run in the same table and column, None if this cell is it or has none."""
    same = [other for (table, _, column), other in facts.paper.items() if (table, column) == (key[0], key[2])]
    found = [other for other in same if (other["run"], other["metric"]) == (facts.reference, cell["metric"])]
    if not found or cell["run"] == facts.reference or published(cell) is None or published(found[0]) is None:
        return None
    return found[0]


def _line(frame: pd.DataFrame, key: tuple[str, str, str], cell: Cell, reference: Cell, facts: ScaleFacts) -> Line:
    run, evaluation, metric = cell["run"], cell["evaluation"], cell["metric"]
    ours = best_measurement(frame, run, evaluation, metric)
    base = best_measurement(frame, facts.reference, reference["evaluation"], metric)
    theirs, decimals = published(cell) - published(reference), len(cell["value"].partition(".")[2])
    words = status(ours if base is not None else None, facts, run, evaluation)
    missing = NOT_RUN if words == NOT_RUN else NOTHING
    cells = {
        "table": key[0],
        "row": f"{key[1]} (against {facts.reference})",
        "column": key[2],
        "paper's difference": signed(theirs, decimals),
        "our difference": missing,
        "spread": NOTHING,
        "verdict": missing,
        "scale": facts.scale,
        "status": words,
    }
    if not (ours and base):
        return Line(cells, run, shown_evaluation(ours, evaluation), metric, round(theirs, decimals))
    cells |= _compared(ours, base, theirs)
    behind = {"our difference": ours, "spread": base}
    return Line(cells, run, shown_evaluation(ours, evaluation), metric, round(theirs, decimals), behind)


def _compared(ours: Measurement, base: Measurement, theirs: float) -> dict[str, str]:
    if not (ours.claims_mean and base.claims_mean):
        differences = [signed(a - b, 1) for a, b in zip(ours.values, base.values)]
        return {"our difference": ", ".join(differences), "verdict": f"no verdict: {TOO_FEW}"}
    difference, spread = ours.mean - base.mean, spread_of_difference(ours, base)
    cells = {"our difference": signed(difference, 1), "spread": number(spread, 1)}
    return cells | {"verdict": verdict(difference, spread, theirs)}
