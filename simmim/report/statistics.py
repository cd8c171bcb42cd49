"""Differences over pre-trainings: Student's t and its interval, Holm's correction, power; by SciPy and statsmodels.

Both libraries are imported where they are used, since they take a second.
"""

from __future__ import annotations

import bisect
import functools
import math
import statistics
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import pandas as pd

LEVEL = 0.05  # of an interval, and of all verdicts of a table together
POWER = 0.8  # that "would decide"
MOST = 1000  # pre-trainings that are looked at for it
FEWEST_RANKED = 5  # things whose orders are compared
_ROUNDING = 1e-9  # of a distance: a smaller error is one of rounding, where the noncentral t is nan


class Comparison(NamedTuple):
    """The mean difference of two numbers over pre-trainings, first minus second.

    Args:
        low, high: its 95 % interval.
        p: two-sided, against the bound that was asked about.
        deviations: standard deviation of the differences of pairs, or of either side where there are none.
        counts: pre-trainings behind each of them.
    """

    difference: float
    low: float
    high: float
    p: float
    deviations: tuple[float, ...]
    counts: tuple[int, ...]


def matched(first: pd.Series, second: pd.Series) -> tuple[pd.Series, pd.Series]:
    """Both sides on the seeds that they share, where one has two or more and the other has all of these.

    The same seeds share initial weights where the encoder is the same, the order of the data, crops, and the labels and
    heads of their evaluations: they are pairs, and no independent samples.
    """
    shared = first.index.intersection(second.index)
    return (first[shared], second[shared]) if 2 <= len(shared) == min(len(first), len(second)) else (first, second)


def compare(first: pd.Series, second: pd.Series, bound: float = 0.0) -> Comparison | None:
    """Student's t test of a difference against `bound`, None where either side has fewer than two pre-trainings.

    Seeds that both sides have are compared seed by seed (`matched`). Others are compared by Welch's test, which takes
    them for independent and assumes no equal variances.

    Args:
        first, second: a value for each pre-training, by its seed.
    """
    if min(len(first), len(second)) < 2:
        return None
    from scipy import stats

    first, second = matched(first, second)
    is_paired = first.index.equals(second.index)
    test = stats.ttest_rel if is_paired else functools.partial(stats.ttest_ind, equal_var=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # equal differences: p is 0, or nan at the bound
        found = test((first - bound).to_numpy(), second.to_numpy())
    interval = found.confidence_interval(1 - LEVEL)
    samples = [first - second] if is_paired else [first, second]
    return Comparison(
        difference=float(first.mean() - second.mean()),
        low=float(interval.low + bound),
        high=float(interval.high + bound),
        p=1.0 if math.isnan(found.pvalue) else float(found.pvalue),
        deviations=tuple(float(each.std()) for each in samples),
        counts=tuple(map(len, samples)),
    )


def range_of_another(values: Sequence[float]) -> tuple[float, float] | None:
    """Where one more value of the same normal kind lies in 95 cases of 100, None for fewer than two values.

    The lowest and the highest of n values hold another one in only (n - 1) / (n + 1) of all cases: half, at three.
    """
    if len(values) < 2:
        return None
    from scipy import stats

    mean, deviation = statistics.fmean(values), statistics.stdev(values)
    reach = float(stats.t.ppf(1 - LEVEL / 2, len(values) - 1)) * deviation * math.sqrt(1 + 1 / len(values))
    return mean - reach, mean + reach


class Slope(NamedTuple):
    """A straight line through pre-trainings by least squares.

    Args:
        slope: of y per unit of x.
        low, high: its 95 % interval, each pre-training an observation of its own.
        intercept: y at 0.
        n: pre-trainings.
    """

    slope: float
    low: float
    high: float
    intercept: float
    n: int


def slope_of(x: Sequence[float], y: Sequence[float]) -> Slope | None:
    """The straight line through pre-trainings; None with fewer than three, or fewer than three different x."""
    if len({*x}) < 3:
        return None
    from scipy import stats

    found = stats.linregress(x, y)
    reach = float(stats.t.ppf(1 - LEVEL / 2, len(x) - 2)) * float(found.stderr)
    slope = float(found.slope)
    return Slope(slope, slope - reach, slope + reach, float(found.intercept), len(x))


class RankCorrelation(NamedTuple):
    """Spearman's rank correlation and its 95 % interval; None where all are ordered alike or in reverse."""

    rho: float
    interval: tuple[float, float] | None


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> RankCorrelation | None:
    """Whether two numbers order things alike; None with fewer than `FEWEST_RANKED`, or where all have the same number.

    The interval is that of Bonett and Wright (Psychometrika 65, 2000): Fisher's z with the variance of ranks. Of 1 and
    -1 it would be a point, as if no other things could be ordered otherwise.
    """
    if len(first) < FEWEST_RANKED or min(len({*first}), len({*second})) < 2:
        return None
    from scipy import stats

    rho = round(float(stats.spearmanr(first, second).statistic), 12)  # the same order is 1, not 1 - 1e-16
    if abs(rho) == 1:
        return RankCorrelation(rho, None)
    reach = float(stats.norm.ppf(1 - LEVEL / 2)) * math.sqrt((1 + rho**2 / 2) / (len(first) - 3))
    return RankCorrelation(rho, (math.tanh(math.atanh(rho) - reach), math.tanh(math.atanh(rho) + reach)))


def compare_all(pairs: Sequence[tuple[pd.Series, pd.Series]]) -> list[Comparison | None]:
    """The differences that a table shows, each against 0; p is corrected for the others."""
    found = [compare(*pair) for pair in pairs]
    corrected = iter(holm([each.p for each in found if each]))
    return [each and each._replace(p=next(corrected)) for each in found]


def sizes(first: pd.Series, second: pd.Series) -> str:
    """`10 pairs`, or `3 and 1` where the two sides are not compared seed by seed."""
    first, second = matched(first, second)
    if len(first) > 1 and first.index.equals(second.index):
        return f"{len(first)} pairs"
    return f"{len(first)} and {len(second)}"


def holm(ps: Sequence[float]) -> list[float]:
    """p values of one family, corrected by Holm so that the chance of any false verdict stays below `LEVEL`."""
    from statsmodels.stats.multitest import multipletests

    return multipletests(ps, method="holm")[1].tolist() if len(ps) else []


def power(distances: Sequence[float], deviations: Sequence[float], counts: Sequence[int], level: float) -> float:
    """Chance that an interval of confidence 1 - `level` keeps clear of bounds that lie so far from the true difference.

    By the noncentral t distribution: of pairs with n - 1 degrees of freedom, else with Welch's. Of two bounds it is a
    lower limit, by the sum of the chances to miss either.

    Args:
        distances: to each bound, above 0.
        deviations: as those of a `Comparison`.
        counts: pre-trainings behind each of them.
    """
    from scipy import stats

    variances = [deviation**2 / n for deviation, n in zip(deviations, counts)]
    error = math.sqrt(sum(variances))
    if error <= _ROUNDING * min(distances):
        return 1.0
    freedom = error**4 / sum(variance**2 / (n - 1) for variance, n in zip(variances, counts))
    clear = stats.t.isf(level / 2, freedom)
    hits = [float(stats.nct.sf(clear, freedom, each / error)) for each in distances]  # its cdf has holes
    return max(0.0, 1 - sum(1 - hit for hit in hits))


def needed(distances: Sequence[float], deviations: Sequence[float], level: float) -> int | None:
    """The fewest pre-trainings of each side that reach `POWER`, None where `MOST` do not; arguments as `power`."""
    counts = range(2, MOST + 1)
    place = bisect.bisect_left(counts, POWER, key=lambda n: power(distances, deviations, [n] * len(deviations), level))
    return counts[place] if place < len(counts) else None
