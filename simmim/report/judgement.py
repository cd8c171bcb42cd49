"""A claim held against the numbers that it compares: which of them decide, and how sure that is."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from simmim.config.claims import RISING
from simmim.report.measurements import OF_MASKS
from simmim.report.region import Region, region_of
from simmim.report.statistics import LEVEL, Comparison, compare, matched

if TYPE_CHECKING:
    from simmim.config.claims import Claim, Operand, Side
    from simmim.report.operands import Number, Operands


class Judgement(NamedTuple):
    """What decides a claim.

    Args:
        first, second: the numbers that decide; of a series its last and its first, or two neighbours that fall.
        region: where their difference should lie.
        comparison: of both, positive where the first is better; None with fewer than two pre-trainings of either.
        p: of the claim, before it is corrected for the others; None where nothing is known of the chance.
        pairs: how many it was taken from, of 'each of' several.
        series: all numbers of a series.
        flat_step: of a series that would hold if each step rose, one that does not.
    """

    first: Number
    second: Number
    region: Region
    comparison: Comparison | None
    p: float | None
    pairs: int = 1
    series: str = ""
    flat_step: str = ""

    @property
    def margin(self) -> float:
        """How far the difference lies inside the region, negative outside."""
        return self.region.margin(self.first.sign * self.difference)

    @property
    def difference(self) -> float:
        """First minus second, as measured: over the pre-trainings that are compared."""
        if self.comparison:
            return self.first.sign * self.comparison.difference
        return self.first.mean - self.second.mean

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of the difference, as measured."""
        if self.comparison is None:
            return None
        low, high = sorted(self.first.sign * bound for bound in (self.comparison.low, self.comparison.high))
        return low, high

    @property
    def is_certain(self) -> bool:
        """Whether no chance of a pre-training enters."""
        return self.first.metric in OF_MASKS

    @property
    def n(self) -> int:
        """Pre-trainings of the side that has fewer."""
        return min(len(self.first.by_pretraining), len(self.second.by_pretraining))

    @property
    def doubt(self) -> tuple[bool, float, float]:
        """The pair that has most decides over several: one without a p, else that with the least for the claim."""
        p = self.p or 0.0
        return self.p is None, p / 2 if self.margin > 0 else 1 - p / 2, -self.margin


def judge(claim: Claim, operands: Operands) -> Judgement:
    """What decides a claim all of whose numbers were measured.

    The 'best of' several has the highest mean; that it was chosen on the same numbers is not corrected for. Of 'each
    of' several the pair with the least for the claim decides: where that one bears it out all do, and p needs no
    correction; where it does not, p is multiplied by the number of pairs that it was picked from (Bonferroni).
    """
    if claim.relation == RISING:
        return _series([operands.number(operand) for operand in claim.first.operands], claim.tolerance)
    firsts, seconds = (
        [operands.number(each) for each in _chosen(side, operands)] for side in (claim.first, claim.second)
    )
    region = region_of(claim.relation, claim.tolerance)
    pairs = [_pair(first, second, region) for first in firsts for second in seconds]
    decisive = max(pairs, key=lambda pair: pair.doubt)._replace(pairs=len(pairs))
    return decisive if decisive.margin > 0 else _picked(decisive, len(pairs))


def _chosen(side: Side, operands: Operands) -> Sequence[Operand]:
    """All operands of a side, or the best of them."""
    if side.which != "best":
        return side.operands
    return [max(side.operands, key=lambda operand: operands.number(operand).goods.mean())]


def _pair(first: Number, second: Number, region: Region) -> Judgement:
    """The test of one difference against the bound of the region that is nearest to it."""
    goods = matched(first.goods, second.goods)
    difference = goods[0].mean() - goods[1].mean()
    if first.metric in OF_MASKS:
        return Judgement(first, second, region, None, 0.0 if region.margin(difference) else 1.0)
    comparison = compare(*goods, region.nearest(difference))
    return Judgement(first, second, region, comparison, comparison.p if comparison else None)


def _series(numbers: Sequence[Number], tolerance: float) -> Judgement:
    """Rising: the last is better than the first, and every step rises, or falls by less than the tolerance.

    A fall between neighbours that is significant by itself, corrected for the number of steps, decides instead. With a
    step that merely does not rise nothing is borne out, however sure the whole is: p is 1.
    """
    region = region_of(RISING, 0.0)
    whole = _pair(numbers[-1], numbers[0], region)
    steps = [_pair(after, before, region) for before, after in itertools.pairwise(numbers)]
    falls = [_picked(step, len(steps)) for step in steps if step.margin < 0 and step.p is not None]
    falls = [step for step in falls if step.p <= LEVEL]
    lowest = min(steps, key=lambda step: step.margin)
    decisive = whole
    if whole.margin > 0 and falls:
        decisive = min(falls, key=lambda step: step.p)
    elif whole.margin > 0 and whole.p is not None and whole.p <= LEVEL and lowest.margin <= -tolerance:
        decisive = whole._replace(p=1.0, flat_step=f"{lowest.second.label} to {lowest.first.label}")
    return decisive._replace(series=" → ".join(each.text for each in numbers))


def _picked(pair: Judgement, among: int) -> Judgement:
    """A pair that was picked from several for speaking against the claim."""
    return pair if pair.p is None else pair._replace(p=min(1.0, among * pair.p))
