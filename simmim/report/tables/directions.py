"""Do our differences point the way the paper's do? Every accuracy against the reference run, in the paper and here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from simmim.report.measurements import SEEDS_FOR_A_MEAN, best_measurement, signed
from simmim.report.scale_facts import Cell, ResultFile, ScaleFacts
from simmim.report.status import NOT_RUN, NOTHING, measured_by, status
from simmim.report.table import Body, Line
from simmim.report.tables._directions import (
    OTHER_SIGN,
    SAME_SIGN,
    direction,
    published,
    reference_cell,
    reference_measurement,
)
from simmim.report.tables._paper import SECTION, cells_need, shown_evaluation

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
        if reference := reference_cell(key[0], key[2], cell, facts):
            lines.append(_line(results.records, key, cell, reference, facts))
    caption = (
        f"What changes when one thing differs from the run '{facts.reference}', in the paper and here. Spread: root of "
        "the sum of both variances over seeds. A difference inside the spread decides nothing; one outside it that has "
        "the other sign contradicts the paper and is printed as such."
    )
    return Body(caption + _signs(line.cells["verdict"] for line in lines), lines)


def _signs(verdicts: Iterable[str]) -> str:
    """What the lines without a spread say, taken together."""
    signs = [words for words in verdicts if words.startswith((SAME_SIGN, OTHER_SIGN))]
    if not signs:
        return ""
    return (
        f" With fewer than {SEEDS_FOR_A_MEAN} seeds nobody knows the spread and only signs are compared, which is no "
        "evidence line by line: by chance half of them would point the paper's way, and all share the run they are "
        f"held against. Of {len(signs)} such lines {sum(map(_is_same, signs))} point the paper's way."
    )


def _is_same(words: str) -> bool:
    return words.startswith(SAME_SIGN)


def _line(frame: pd.DataFrame, key: tuple[str, str, str], cell: Cell, reference: Cell, facts: ScaleFacts) -> Line:
    run, evaluation, metric = cell["run"], cell["evaluation"], cell["metric"]
    ours = best_measurement(frame, run, evaluation, metric)
    base = reference_measurement(frame, reference, facts)
    theirs, decimals = published(cell) - published(reference), len(cell["value"].partition(".")[2])
    words = status(ours if base is not None else None, facts, run, evaluation)
    missing = NOT_RUN if words == NOT_RUN else NOTHING
    cells = {
        "table": key[0],
        "row": f"{key[1]} (against {facts.reference})",
        "measured here by": measured_by(facts, evaluation, metric),
        "our difference": missing,
        "spread": NOTHING,
        "verdict": missing,
        "paper's difference": signed(theirs, decimals),
        "the paper's measure": key[2],
        "scale": facts.scale,
        "status": words,
    }
    if not (ours and base):
        return Line(cells, run, shown_evaluation(ours, evaluation), metric, round(theirs, decimals))
    cells |= dict(zip(("our difference", "spread", "verdict"), direction(ours, base, theirs)))
    behind = {"our difference": ours, "spread": base}
    return Line(cells, run, shown_evaluation(ours, evaluation), metric, round(theirs, decimals), behind)
