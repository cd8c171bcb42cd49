"""Do our differences point the way the paper's do? Every accuracy against the reference run, in the paper and here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from simmim.report.measurements import signed
from simmim.report.scale_facts import Cell, ResultFile, ScaleFacts
from simmim.report.status import NOT_RUN, NOTHING, measured_by, status
from simmim.report.table import Body, Line
from simmim.report.tables._directions import (
    CORRECTED,
    OTHER_SIGN,
    SAME_SIGN,
    Direction,
    Key,
    directions,
    published,
    reference_cell,
)
from simmim.report.tables._paper import SECTION, cells_need, shown_evaluation

if TYPE_CHECKING:
    from simmim.report.results import Results

title = "Do our differences point the paper's way?"
section = SECTION


def needs(facts: ScaleFacts) -> list[ResultFile]:
    """Every score of the paper's tables that the scale can have."""
    return cells_need(facts, [cell for cell in facts.paper.values() if cell["metric"] in facts.headline_metrics])


def make(results: Results, facts: ScaleFacts) -> Body:
    """One line per published accuracy whose column has one of the reference run, too."""
    seen = directions(results.records, facts.paper, facts)
    lines = [
        _line(seen.get(key), key, cell, reference, facts)
        for key, cell in facts.paper.items()
        if (reference := reference_cell(key[0], key[2], cell, facts))
    ]
    caption = (
        f"What changes when one thing differs from the run '{facts.reference}', in the paper and here: the mean "
        "difference [95 % interval by Student's t] over pre-trainings, paired by the seeds that both have. "
        f"{CORRECTED} A verdict that contradicts the paper is printed as such."
    )
    return Body(caption + _signs(line.cells["verdict"] for line in lines), lines)


def _signs(verdicts: Iterable[str]) -> str:
    """What the lines of one pre-training say, taken together."""
    signs = [words for words in verdicts if words.startswith((SAME_SIGN, OTHER_SIGN))]
    if not signs:
        return ""
    return (
        " With one pre-training only signs are compared, which is no evidence line by line: by chance half of them "
        "would point the paper's way, and all share the run they are held against. "
        f"Of {len(signs)} such lines {sum(map(_is_same, signs))} point the paper's way."
    )


def _is_same(words: str) -> bool:
    return words.startswith(SAME_SIGN)


def _line(seen: Direction | None, key: Key, cell: Cell, reference: Cell, facts: ScaleFacts) -> Line:
    run, evaluation, metric = cell["run"], cell["evaluation"], cell["metric"]
    theirs, decimals = published(cell) - published(reference), len(cell["value"].partition(".")[2])
    words = status(seen and seen.ours, facts, run, evaluation)
    missing = NOT_RUN if words == NOT_RUN else NOTHING
    cells = {
        "table": key[0],
        "row": f"{key[1]} (against {facts.reference})",
        "measured here by": measured_by(facts, evaluation, metric),
        "our difference": seen.difference if seen else missing,
        "n": seen.n if seen else NOTHING,
        "verdict": seen.verdict if seen else missing,
        "paper's difference": signed(theirs, decimals),
        "the paper's measure": key[2],
        "scale": facts.scale,
        "status": words,
    }
    behind = {"our difference": seen.ours, "n": seen.base} if seen else {}
    return Line(cells, run, shown_evaluation(seen and seen.ours, evaluation), metric, published(cell), behind)
