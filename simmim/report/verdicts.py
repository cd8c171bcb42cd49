"""Verdicts on claims, those about one question together, with what n could have shown and the n that would decide."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from simmim.report.measurements import UNITS, count_of_pretrainings
from simmim.report.statistics import LEVEL, MOST, Comparison, holm, needed, power
from simmim.report.status import NOTHING

if TYPE_CHECKING:
    from simmim.config.claims import Claim
    from simmim.report.judgement import Judgement

HOLDS = "holds"
CONTRADICTED = "contradicted"
UNDECIDED = "undecided"


class Decision(NamedTuple):
    """What a line says of a claim.

    Args:
        power: chance that this n decides the claim if the true difference is the paper's, and which that is.
        p: corrected for the other claims of its family.
    """

    verdict: str
    power: str = NOTHING
    p: str = NOTHING


class _Target(NamedTuple):
    """The difference that power is asked for.

    Args:
        distances: from it to the bounds of the claim; none where it lies outside them.
    """

    text: str
    distances: list[float]


def decide(judged: Sequence[tuple[Claim, Judgement]]) -> list[Decision]:
    """Verdicts on claims, those of a family that rest on a test corrected by Holm for each other.

    Power, and the n that would decide, are those of Holm's strictest level: whatever becomes of the other claims.
    """
    families: dict[str, list[int]] = {}
    for place, (claim, judgement) in enumerate(judged):
        if judgement.comparison:
            families.setdefault(claim.family, []).append(place)
    decided = [Decision(_untested(judgement)) for _, judgement in judged]
    for places in families.values():
        for place, p in zip(places, holm([judged[place][1].p for place in places])):
            decided[place] = _tested(*judged[place], p, LEVEL / len(places))
    return decided


def p_text(p: float) -> str:
    """`0.31`, `0.031` or `< 0.001`; near the level with as many digits as tell the side on which it lies."""
    if p < 0.001:
        return "< 0.001"
    digits = 2 if p >= 0.1 else 3
    while p != LEVEL and round(p, digits) == LEVEL:
        digits += 1
    return f"{p:.{digits}f}"


def _tested(claim: Claim, judgement: Judgement, p: float, level: float) -> Decision:
    target, able, found = _target(claim, judgement), NOTHING, judgement.comparison
    if target.distances:
        able = f"{100 * power(target.distances, found.deviations, found.counts, level):.0f} % for {target.text}"
        able += f", for one pair of {judgement.pairs}" if judgement.pairs > 1 else ""
    if p <= LEVEL:
        return Decision(HOLDS if judgement.margin > 0 else CONTRADICTED, able, p_text(p))
    why = _no_rise(judgement) or _would_decide(target, found, judgement, level)
    return Decision(f"{UNDECIDED} ({why})", able, p_text(p))


def _untested(judgement: Judgement) -> str:
    """The verdict where no chance of a pre-training enters, or where nothing is known of it."""
    if judgement.p is None:
        return f"{UNDECIDED} ({count_of_pretrainings(judgement.n)})"
    if judgement.p > LEVEL:
        return f"{UNDECIDED} ({_no_rise(judgement) or 'no difference'})"
    return HOLDS if judgement.margin > 0 else CONTRADICTED


def _no_rise(judgement: Judgement) -> str:
    """Why a series does not hold whose end is above its start."""
    return judgement.flat_step and f"no rise from {judgement.flat_step}"


def _target(claim: Claim, judgement: Judgement) -> _Target:
    """The paper's difference; where it prints none, the tolerance, or none where 'close' or 'not worse' is claimed."""
    region, sign = judgement.region, judgement.first.sign
    printed = claim.printed_difference
    wanted = sign * printed if printed is not None else 0.0 if region.low else claim.tolerance
    distances = [abs(wanted - bound) for bound in region.bounds] if region.margin(wanted) > 1e-9 else []
    shown = sign * wanted
    text = f"{'+' if shown > 0 else '−' if shown < 0 else ''}{abs(shown):g}{UNITS.get(judgement.first.metric, '')}"
    return _Target(text, distances)


def _would_decide(target: _Target, found: Comparison, judgement: Judgement, level: float) -> str:
    """On how many pre-trainings nothing is decided, and how many would do."""
    words = count_of_pretrainings(judgement.n)
    if not target.distances:
        return words
    enough = needed(target.distances, found.deviations, level)
    if enough is not None and enough <= judgement.n:
        return f"{words}, enough for {target.text}"
    what = "it" if judgement.pairs == 1 else "one pair"
    return f"{words}; {f'about {enough}' if enough else f'more than {MOST}'} would decide {what}"
