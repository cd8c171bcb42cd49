"""Whether a difference bears out what is claimed, as far as the seeds behind it allow."""

from __future__ import annotations

from simmim.report.measurements import SEEDS_FOR_A_MEAN

HOLDS = "holds"
CONTRADICTED = "contradicted"
UNDECIDED = "undecided"
INSIDE = "undecided: inside the spread"
INSIDE_TOLERANCE = "undecided: inside the tolerance"
_TOO_WIDE = "undecided: the spread is too wide"
_WORST_FIRST = (CONTRADICTED, UNDECIDED, HOLDS)


def verdict(relation: str, difference: float, spread: float | None, tolerance: float) -> str:
    """Whether `difference` bears out a relation: 'better than', 'not worse than' or 'close to'.

    Args:
        difference: first minus second, positive where the first is better.
        spread: of the difference over seeds; None where the tolerance stands in its place.
        tolerance: how far apart two numbers may be and still be called close.
    """
    difference = round(difference, 9)  # 82.9 - 82.8 is 0.1
    noise, inside = (tolerance, INSIDE_TOLERANCE) if spread is None else (spread, INSIDE)
    if relation == "better than":
        if abs(difference) <= noise:
            return inside
        return HOLDS if difference > 0 else CONTRADICTED
    distance = abs(difference) if relation == "close to" else -difference
    if distance > max(tolerance, noise):
        return CONTRADICTED
    if noise > 2 * tolerance:  # finding no difference says nothing
        return _TOO_WIDE
    return HOLDS if distance <= tolerance else inside


def rank(words: str) -> int:
    """0 for a contradiction, then what is undecided, then what holds: the lowest decides over several."""
    return next(place for place, word in enumerate(_WORST_FIRST) if words.startswith(word))


def with_seeds(words: str, seeds: int) -> str:
    """A verdict that says on how many seeds it rests, where they are too few for a spread."""
    if seeds >= SEEDS_FOR_A_MEAN:
        return words
    return f"{words} ({count_of_seeds(seeds)})"


def count_of_seeds(seeds: int) -> str:
    """`one seed`, `2 seeds`."""
    return "one seed" if seeds == 1 else f"{seeds} seeds"
