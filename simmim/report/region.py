"""Where a relation says that a difference lies: an interval that the interval of our difference is held against."""

from __future__ import annotations

import math
from typing import NamedTuple


class Region(NamedTuple):
    """Differences, first minus second and positive where the first is better, that bear out a relation."""

    low: float
    high: float = math.inf

    def margin(self, difference: float) -> float:
        """How far inside a difference lies, negative outside."""
        return min(difference - self.low, self.high - difference)

    def nearest(self, difference: float) -> float:
        """The bound that a difference is tested against."""
        return min(self.bounds, key=lambda bound: abs(difference - bound))

    @property
    def bounds(self) -> list[float]:
        """Those that are finite."""
        return [bound for bound in self if math.isfinite(bound)]


def region_of(relation: str, tolerance: float) -> Region:
    """The differences by which a relation holds.

    Args:
        tolerance: how far apart numbers may be that are 'close to' each other, or one that is 'not worse than' another.
    """
    regions = {"not worse than": Region(-tolerance), "close to": Region(-tolerance, tolerance)}
    return regions.get(relation, Region(0.0))
