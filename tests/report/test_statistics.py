"""Differences over pre-trainings: published examples, SciPy on the same numbers, and where nothing can be said."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from simmim.report.region import Region, region_of
from simmim.report.statistics import compare, compare_all, holm, needed, power, range_of_another, sizes

# Student's sleep data (Biometrika 1908), and what R's t.test says of them.
ONE = pd.Series([0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0])
OTHER = pd.Series([1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4])


def test_the_same_seeds_are_paired():
    found = compare(ONE, OTHER)
    assert (found.difference, found.p) == (pytest.approx(-1.58), pytest.approx(0.002833, abs=1e-6))
    assert (found.low, found.high) == (pytest.approx(-2.4598858), pytest.approx(-0.7001142))
    assert (found.deviations, found.counts) == ((pytest.approx((ONE - OTHER).std()),), (10,))
    assert sizes(ONE, OTHER) == "10 pairs"


def test_other_seeds_are_compared_by_welch():
    """Not by a test that assumes equal variances, whose p is 0.07919."""
    other = OTHER.set_axis(range(1, 11))
    found = compare(ONE, other)
    assert (found.low, found.high) == (pytest.approx(-3.3654832), pytest.approx(0.2054832))
    assert found.p == pytest.approx(0.07939, abs=1e-5)
    assert (found.deviations, found.counts) == ((pytest.approx(ONE.std()), pytest.approx(OTHER.std())), (10, 10))
    assert sizes(ONE, other) == "10 and 10"


def test_a_side_with_more_seeds_is_compared_on_those_of_the_other():
    """The others of its seeds have no counterpart, and those that have one are no independent samples."""
    found = compare(ONE, OTHER[:3])
    assert found == compare(ONE[:3], OTHER[:3]) and found.counts == (3,)
    assert (
        found.difference == pytest.approx((ONE[:3] - OTHER[:3]).mean()) != pytest.approx(ONE.mean() - OTHER[:3].mean())
    )
    assert (sizes(ONE, OTHER[:3]), sizes(ONE[:3], OTHER)) == ("3 pairs", "3 pairs")
    elsewhere = OTHER[:3].set_axis([8, 9, 10])  # 10 is no seed of the other side
    assert sizes(ONE, elsewhere) == "10 and 3" and len(compare(ONE, elsewhere).counts) == 2


@pytest.mark.parametrize("bound", [-1.0, 0.5])
def test_a_difference_is_held_against_a_bound(bound):
    found, theirs = compare(ONE, OTHER, bound), stats.ttest_1samp(ONE - OTHER, bound)
    assert found.p == pytest.approx(theirs.pvalue)
    assert (found.low, found.high) == pytest.approx(tuple(theirs.confidence_interval(0.95)))


def test_one_pretraining_of_either_says_nothing():
    assert compare(ONE[:1], OTHER) is None and compare(ONE, OTHER[:1]) is None and compare(ONE[:0], OTHER[:0]) is None
    assert sizes(ONE[:1], OTHER[:1]) == "1 and 1" and sizes(ONE, OTHER[:1]) == "10 and 1"


def test_differences_without_any_spread_are_certain_but_at_the_bound():
    equal = pd.Series([1.0, 2.0, 4.0])
    assert (compare(equal + 1, equal).p, compare(equal, equal).p) == (0.0, 1.0)
    assert power([1.0], [0.0], [2], 0.05) == 1 and needed([1.0], [0.0], 0.05) == 2


def test_differences_that_rounding_alone_spreads_are_certain():
    """The noncentral t is nan where the spread is 1e-10 of the difference: a power of 0 % stood beside p < 0.001."""
    found = compare(pd.Series([45.35, 46.77]), pd.Series([45.050000000000004, 46.47]))
    assert 0 < found.deviations[0] < 1e-14 and found.p < 1e-9
    assert power([0.7], found.deviations, found.counts, 0.05) == 1 and needed([0.7], found.deviations, 0.05) == 2


def test_p_is_corrected_by_holm():
    """By hand: 4 x 0.005, 3 x 0.01, 2 x 0.03, and no less than that for 0.04."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


def test_lines_of_a_table_are_corrected_for_each_other_and_not_for_those_that_say_nothing():
    alone, nothing, same = compare_all([(ONE, OTHER), (ONE[:1], OTHER[:1]), (ONE, OTHER)])
    assert nothing is None
    assert alone.p == same.p == pytest.approx(2 * compare(ONE, OTHER).p)


def test_power_is_that_of_the_t_test():
    """34 pairs for an effect of 0.5 at 5 % and 80 % is G*Power's example."""
    assert needed([0.5], [1.0], 0.05) == needed([1.0], [2.0], 0.05) == 34
    assert power([1.0], [1.2], [10], 0.05) == pytest.approx(stats.nct.sf(stats.t.isf(0.025, 9), 9, 10**0.5 / 1.2))
    assert needed([1.0], [1.0], 0.05) == 10, "as docs/statistics.md says"
    assert needed([0.001], [1.0], 0.05) is None


def test_power_of_independent_sides_is_that_of_welch():
    """Of equal ones that of the two-sample t test: 64 each for an effect of 0.5 is G*Power's example."""
    assert needed([0.5], [1.0, 1.0], 0.05) == 64
    rng, counts, deviations = np.random.default_rng(0), (10, 3), (1.0, 0.5)
    first, second = (rng.normal(mean, s, (n, 20_000)) for mean, s, n in zip((1.5, 0.0), deviations, counts))
    found = stats.ttest_ind(first, second, equal_var=False)
    hits = ((found.pvalue < 0.05) & (found.statistic > 0)).mean()
    assert power([1.5], deviations, counts, 0.05) == pytest.approx(hits, abs=0.05), "pairs by the fewer: 0.27"


@pytest.mark.parametrize("deviations", [[1.0], [1.0, 0.2], [1.0, 0.0]])
def test_power_does_not_fall_with_more_pretrainings(deviations):
    """statsmodels' had holes where an effect is large, so that 526 pre-trainings were told for 8."""
    counts = np.unique(np.geomspace(2, 1000, 25).astype(int))
    for effect in np.geomspace(0.05, 30, 12):
        powers = [power([effect], deviations, [n] * len(deviations), 0.0125) for n in counts]
        assert min(np.diff(powers)) >= 0, effect
    assert needed([1.1], [0.6655], 0.0125) == 8


def test_power_between_two_bounds_is_what_a_simulation_finds():
    rng, n, tolerance, true = np.random.default_rng(0), 8, 1.0, 0.0
    drawn = rng.normal(true, 0.8, (20_000, n))
    half = stats.t.isf(0.025, n - 1) * drawn.std(1, ddof=1) / n**0.5
    inside = (abs(drawn.mean(1)) + half < tolerance).mean()
    assert power([tolerance + true, tolerance - true], [0.8], [n], 0.05) == pytest.approx(inside, abs=0.01)
    assert inside < power([tolerance], [0.8], [n], 0.05) - 0.05


@pytest.mark.parametrize(
    ("relation", "region", "difference", "margin", "bound"),
    [
        ("better than", (0.0, np.inf), 0.5, 0.5, 0.0),
        ("rising", (0.0, np.inf), -0.5, -0.5, 0.0),
        ("not worse than", (-1.0, np.inf), -0.4, 0.6, -1.0),
        ("close to", (-1.0, 1.0), 0.4, 0.6, 1.0),
        ("close to", (-1.0, 1.0), -1.5, -0.5, -1.0),
    ],
)
def test_a_relation_says_where_a_difference_lies(relation, region, difference, margin, bound):
    found = region_of(relation, 1.0)
    assert found == Region(*region)
    assert found.margin(difference) == pytest.approx(margin)
    assert found.nearest(difference) == bound


@pytest.mark.parametrize("n", [2, 4, 10])
def test_the_range_of_another_holds_it_in_95_cases_of_100(n):
    draws = np.random.default_rng(0).normal(50, 3, (4000, n + 1))
    held = [low <= row[-1] <= high for row in draws for low, high in [range_of_another([*row[:-1]])]]
    assert np.mean(held) == pytest.approx(0.95, abs=0.01)


def test_one_value_gives_no_range_for_another():
    assert range_of_another([1.0]) is None and range_of_another([2.0, 2.0]) == (2, 2)
