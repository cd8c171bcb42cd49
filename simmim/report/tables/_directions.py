"""Whether a difference to the reference run has the sign that it has in the paper."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from simmim.report.measurements import Measurement, assumed_spread, best_measurement, number, signed
from simmim.report.scale_facts import Cell, ScaleFacts
from simmim.report.status import NOTHING, trouble
from simmim.report.verdicts import INSIDE, with_seeds

if TYPE_CHECKING:
    import pandas as pd

SAME_SIGN = "points the paper's way"
OTHER_SIGN = "points the other way"
_NO_SIGN = "undecided: no difference to be seen, here or in the paper"
_FACTORS = {"x": 1, "%": 1, "M": 1, "G": 1, "B": 1000}  # of a unit behind a published number, in the records' unit


class Direction(NamedTuple):
    """What stands in the cells of a line about a difference to the reference run."""

    difference: str
    spread: str
    verdict: str


def published(cell: Cell) -> float | None:
    """A published number in the unit of our records, None where the paper prints something else ('N/A')."""
    text = cell["value"].lstrip("~")
    factor = _FACTORS.get(text[-1:], 1)
    try:
        return factor * float(text.rstrip("".join(_FACTORS)))
    except ValueError:
        return None


def reference_cell(table: str, column: str, cell: Cell, facts: ScaleFacts) -> Cell | None:
    """The reference run's published cell of a table and column; None where there is none, or `cell` is its own.

    Only scores that evaluations are compared by have one.
    """
    same = [other for (name, _, other_column), other in facts.paper.items() if (name, other_column) == (table, column)]
    found = [other for other in same if (other["run"], other["metric"]) == (facts.reference, cell["metric"])]
    comparable = found and cell["run"] != facts.reference and cell["metric"] in facts.headline_metrics
    if not comparable or published(cell) is None or published(found[0]) is None:
        return None
    return found[0]


def reference_measurement(frame: pd.DataFrame, reference: Cell, facts: ScaleFacts) -> Measurement | None:
    """What the reference run has for its published cell."""
    return best_measurement(frame, facts.reference, reference["evaluation"], reference["metric"])


def direction(ours: Measurement, base: Measurement, theirs: float) -> Direction:
    """Our difference to the reference run, and whether it has the sign of theirs."""
    difference = ours.mean - base.mean
    if reason := trouble(ours) or trouble(base):
        return Direction(NOTHING, NOTHING, f"no verdict: {reason}")
    spread = assumed_spread(ours.known_deviation, base.known_deviation)
    words = with_seeds(verdict(difference, spread, theirs), min(len(ours.seeds), len(base.seeds)))
    return Direction(signed(difference, 1), NOTHING if spread is None else number(spread, 1), words)


def verdict(difference: float, spread: float | None, theirs: float) -> str:
    """Whether our difference has the sign of the paper's, as far as the spread over seeds lets one say so.

    Args:
        spread: None where there are too few seeds to know it: only the signs are compared then.
    """
    has_sign = round(difference, 1) != 0 and round(theirs, 9) != 0
    if spread is None:
        return (SAME_SIGN if difference * theirs > 0 else OTHER_SIGN) if has_sign else _NO_SIGN
    if abs(difference) <= spread:
        same = "the paper's" if difference * theirs > 0 else "not the paper's"
        return f"{INSIDE} (direction is {same})"
    if round(theirs, 9) == 0:
        return "contradicts the paper, which prints no difference"
    return "agrees with the paper's direction" if difference * theirs > 0 else "contradicts the paper's direction"
