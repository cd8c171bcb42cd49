"""A claim held against the numbers that it compares: which of them decide, and what they say."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from simmim.config.claims import RISING
from simmim.report.measurements import LOWER_IS_BETTER, assumed_spread, seeds_ahead
from simmim.report.verdicts import CONTRADICTED, rank, verdict, with_seeds

if TYPE_CHECKING:
    from simmim.config.claims import Claim, Operand, Side
    from simmim.report.operands import Number, Operands


class Judgement(NamedTuple):
    """What decides a claim.

    Args:
        first, second: the numbers that decide; of a series its last and its first.
        spread: of their difference over seeds, None where there are too few to know it or the tolerance is wider.
        seeds: of the number with the fewest.
        series: all numbers of a series.
    """

    verdict: str
    first: Number
    second: Number
    spread: float | None
    seeds: int
    series: str = ""

    @property
    def difference(self) -> float:
        """First minus second, as measured."""
        return self.first.mean - self.second.mean

    @property
    def in_words(self) -> str:
        """The verdict, and on how many seeds it rests where these are few."""
        return with_seeds(self.verdict, self.seeds)

    @property
    def ahead(self) -> str:
        """In how many seeds the first is better; '' where that is not a matter of single runs."""
        both = [*self.first.measured, *self.second.measured]
        if self.series or len(both) != 2:
            return ""
        return seeds_ahead(*(reversed(both) if both[0].metric in LOWER_IS_BETTER else both))


def judge(claim: Claim, operands: Operands) -> Judgement:
    """The verdict on a claim all of whose numbers were measured."""
    if claim.relation == RISING:
        return _series([operands.number(operand) for operand in claim.first.operands], claim.tolerance)
    firsts, seconds = (
        [operands.number(each) for each in _chosen(side, operands)] for side in (claim.first, claim.second)
    )
    pairs = [_pair(claim.relation, first, second, claim.tolerance) for first in firsts for second in seconds]
    return min(pairs, key=lambda pair: (rank(pair.verdict), _margin(claim.relation, pair)))


def _chosen(side: Side, operands: Operands) -> Sequence[Operand]:
    """All operands of a side, or the best of them."""
    if side.which != "best":
        return side.operands
    return [max(side.operands, key=lambda operand: operands.number(operand).goodness)]


def _margin(relation: str, pair: Judgement) -> float:
    """How well a pair does: the worst of several is shown."""
    ahead = pair.first.goodness - pair.second.goodness
    return -abs(ahead) if relation == "close to" else ahead


def _pair(relation: str, first: Number, second: Number, tolerance: float) -> Judgement:
    spread = assumed_spread(first.deviation, second.deviation)
    if None in (first.deviation, second.deviation) and spread is not None and spread < tolerance:
        spread = None  # of one side alone: the wider of what is known and what is tolerated
    words = verdict(relation, first.goodness - second.goodness, spread, tolerance)
    return Judgement(words, first, second, spread, min(first.seeds, second.seeds))


def _series(numbers: Sequence[Number], tolerance: float) -> Judgement:
    """No step falls by more than noise, and the last value exceeds the first by more."""
    steps = [_pair("better than", after, before, tolerance) for before, after in itertools.pairwise(numbers)]
    whole = _pair("better than", numbers[-1], numbers[0], tolerance)
    falls = any(each.verdict == CONTRADICTED for each in [*steps, whole])
    words, seeds = CONTRADICTED if falls else whole.verdict, min(each.seeds for each in numbers)
    return whole._replace(verdict=words, seeds=seeds, series=" → ".join(each.text for each in numbers))
