"""Do our differences point the way the paper's do? Every accuracy against the reference run, in the paper and here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from simmim.report.measurements import (
    SEEDS_FOR_A_MEAN,
    Measurement,
    assumed_spread,
    best_measurement,
    number,
    signed,
)
from simmim.report.scale_facts import Cell, ResultFile, ScaleFacts
from simmim.report.status import NOT_RUN, NOTHING, status, trouble
from simmim.report.table import Body, Line
from simmim.report.tables._paper import SECTION, cells_need, published, shown_evaluation
from simmim.report.verdicts import INSIDE, with_seeds

if TYPE_CHECKING:
    import pandas as pd

    from simmim.report.results import Results

title = "Do our differences point the paper's way?"
section = SECTION

_SAME_SIGN = "points the paper's way"
_OTHER_SIGN = "points the other way"
_NO_SIGN = "undecided: no difference to be seen, here or in the paper"


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
    return Body(caption + _signs(line.cells["verdict"] for line in lines), lines)


def verdict(difference: float, spread: float | None, theirs: float) -> str:
    """Whether our difference has the sign of the paper's, as far as the spread over seeds lets one say so.

    Args:
        spread: None where there are too few seeds to know it: only the signs are compared then.
    """
    has_sign = round(difference, 1) != 0 and round(theirs, 9) != 0
    if spread is None:
        return (_SAME_SIGN if difference * theirs > 0 else _OTHER_SIGN) if has_sign else _NO_SIGN
    if abs(difference) <= spread:
        same = "the paper's" if difference * theirs > 0 else "not the paper's"
        return f"{INSIDE} (direction is {same})"
    if round(theirs, 9) == 0:
        return "contradicts the paper, which prints no difference"
    return "agrees with the paper's direction" if difference * theirs > 0 else "contradicts the paper's direction"


def _signs(verdicts: Iterable[str]) -> str:
    """What the lines without a spread say, taken together."""
    signs = [words for words in verdicts if words.startswith((_SAME_SIGN, _OTHER_SIGN))]
    if not signs:
        return ""
    return (
        f" With fewer than {SEEDS_FOR_A_MEAN} seeds nobody knows the spread and only signs are compared, which is no "
        "evidence line by line: by chance half of them would point the paper's way, and all share the run they are "
        f"held against. Of {len(signs)} such lines {sum(map(_is_same, signs))} point the paper's way."
    )


def _is_same(words: str) -> bool:
    return words.startswith(_SAME_SIGN)


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
    difference = ours.mean - base.mean
    if reason := trouble(ours) or trouble(base):
        return {"verdict": f"no verdict: {reason}"}
    spread = assumed_spread(ours.known_deviation, base.known_deviation)
    cells = {"our difference": signed(difference, 1), "spread": NOTHING if spread is None else number(spread, 1)}
    words = verdict(difference, spread, theirs)
    return cells | {"verdict": with_seeds(words, min(len(ours.seeds), len(base.seeds)))}
