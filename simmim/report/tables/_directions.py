"""Whether a difference to the reference run has the sign that it has in the paper."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from simmim.report.measurements import (
    Measurement,
    best_measurement,
    count_of_pretrainings,
    interval_text,
    signed,
)
from simmim.report.scale_facts import Cell, ScaleFacts
from simmim.report.statistics import LEVEL, Comparison, compare_all, sizes
from simmim.report.status import NOTHING, trouble

if TYPE_CHECKING:
    import pandas as pd

CORRECTED = (
    "A verdict needs two pre-trainings of each, and a 95 % interval without 0 after Holm's correction over the lines "
    "of this table."
)
SAME_SIGN = "points the paper's way"
OTHER_SIGN = "points the other way"
_ROUNDING = 0.1  # what two scores that the paper prints alike may differ by
_NO_SIGN = "undecided: the paper's difference or ours is 0"
_FACTORS = {"x": 1, "%": 1, "M": 1, "G": 1, "B": 1000}  # of a unit behind a published number, in the records' unit

Key = tuple[str, str, str]  # table, row and column of a published cell


class Direction(NamedTuple):
    """A difference to the reference run.

    Args:
        ours, base: what it lies between.
        difference, n, verdict: what stands in the cells of a line.
    """

    ours: Measurement
    base: Measurement
    difference: str
    n: str
    verdict: str


def directions(frame: pd.DataFrame, cells: Mapping[Key, Cell], facts: ScaleFacts) -> dict[Key, Direction]:
    """The differences of published cells to the reference run that were measured here, corrected for each other."""
    found: dict[Key, tuple[Measurement, Measurement, float]] = {}
    for key, cell in cells.items():
        if reference := reference_cell(key[0], key[2], cell, facts):
            ours = best_measurement(frame, cell["run"], cell["evaluation"], cell["metric"])
            base = best_measurement(frame, facts.reference, reference["evaluation"], reference["metric"])
            if ours and base:
                found[key] = ours, base, published(cell) - published(reference)
    sound = {key: each for key, each in found.items() if not (trouble(each[0]) or trouble(each[1]))}
    pairs = [(ours.by_pretraining, base.by_pretraining) for ours, base, _ in sound.values()]
    compared = dict(zip(sound, compare_all(pairs)))
    return {key: _direction(*each, compared.get(key)) for key, each in found.items()}


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


def _direction(ours: Measurement, base: Measurement, theirs: float, compared: Comparison | None) -> Direction:
    """What is said of one difference, with p corrected."""
    if reason := trouble(ours) or trouble(base):
        return Direction(ours, base, NOTHING, NOTHING, f"no verdict: {reason}")
    difference = compared.difference if compared else ours.mean - base.mean
    if compared is None:
        words = f"{_sign(difference, theirs)} ({count_of_pretrainings(min(ours.n, base.n))})"
        interval = ""
    else:
        words, interval = _verdict(compared, theirs), f" {interval_text((compared.low, compared.high), 1)}"
    n = sizes(ours.by_pretraining, base.by_pretraining)
    return Direction(ours, base, f"{signed(difference, 1)}{interval}", n, words)


def _sign(difference: float, theirs: float) -> str:
    """All that can be said without a second pre-training."""
    if round(difference, 1) == 0 or round(theirs, 9) == 0:
        return _NO_SIGN
    return SAME_SIGN if difference * theirs > 0 else OTHER_SIGN


def _verdict(compared: Comparison, theirs: float) -> str:
    if round(theirs, 9) == 0:
        is_beyond = compared.low > _ROUNDING or compared.high < -_ROUNDING
        if compared.p <= LEVEL and is_beyond:
            return "contradicts the paper, which prints no difference"
        return "undecided (the paper prints no difference)"
    is_same = compared.difference * theirs > 0
    if compared.p > LEVEL:
        return f"undecided (direction is {'' if is_same else 'not '}the paper's)"
    return "agrees with the paper's direction" if is_same else "contradicts the paper's direction"
