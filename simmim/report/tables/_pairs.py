"""Two measurements beside each other: a run and what it is compared with, corrected over the lines of a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from simmim.report.measurements import Measurement, count_of_pretrainings, interval_text, signed
from simmim.report.statistics import LEVEL, Comparison, compare_all, sizes
from simmim.report.status import NOT_RUN, NOTHING, trouble

BETTER, WORSE, UNDECIDED = "better", "worse", "undecided"


class Pair(NamedTuple):
    """A run, its baseline, and their difference with p corrected; None where there is none."""

    mine: Measurement | None
    base: Measurement | None
    compared: Comparison | None = None

    @property
    def is_whole(self) -> bool:
        """Whether both were measured."""
        return bool(self.mine and self.base)

    @property
    def trouble(self) -> str:
        """Why they cannot be compared."""
        return next((words for each in (self.mine, self.base) if each and (words := trouble(each))), "")

    @property
    def verdict(self) -> str:
        """`better`, `worse`, or `undecided` and why."""
        if not self.is_whole:
            return NOT_RUN
        if self.trouble:
            return f"no verdict: {self.trouble}"
        if self.compared is None:
            return f"{UNDECIDED} ({count_of_pretrainings(min(self.mine.n, self.base.n))})"
        if self.compared.p > LEVEL:
            return UNDECIDED
        return BETTER if self.compared.difference > 0 else WORSE

    @property
    def difference(self) -> str:
        """`+1.2 [+0.3, +2.1]`, without the interval where there is none."""
        if not self.is_whole or self.trouble:
            return NOTHING
        if found := self.compared:
            return f"{signed(found.difference, 1)} {interval_text((found.low, found.high), 1)}"
        return signed(self.mine.mean - self.base.mean, 1)

    @property
    def n(self) -> str:
        """Pre-trainings: `10 pairs`, `3 and 1`, or of the one side that there is."""
        if self.is_whole:
            return sizes(self.mine.by_pretraining, self.base.by_pretraining)
        return self.mine.count if self.mine else NOTHING


def compared(pairs: Sequence[Pair]) -> list[Pair]:
    """The same pairs with what is compared of them, corrected for each other."""
    sound = [pair.is_whole and not pair.trouble for pair in pairs]
    both = [(pair.mine.by_pretraining, pair.base.by_pretraining) for pair, is_sound in zip(pairs, sound) if is_sound]
    found = iter(compare_all(both))
    return [pair._replace(compared=next(found)) if is_sound else pair for pair, is_sound in zip(pairs, sound)]
