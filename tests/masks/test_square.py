"""Square masks: one square of the paper's sides, anywhere, on whole cells."""

import numpy as np
import pytest

from simmim.masks.square import Square
from simmim.rng import KeyedGenerator


def draw(ratio, grid, n=200):
    return Square(ratio).sample(n, grid, KeyedGenerator(0, 0, np.arange(n), "mask"))


def corner_and_sides(mask):
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return rows[0], columns[0], rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1


@pytest.mark.parametrize("ratio, side", [(0.11, 2), (0.25, 3), (0.44, 4)])
def test_the_paper_s_ratios_are_its_squares(ratio, side):
    for mask in draw(ratio, (6, 6)):
        assert corner_and_sides(mask)[2:] == (side, side)
        assert mask.sum() == side**2


def test_the_square_is_found_everywhere_it_fits():
    places = [corner_and_sides(mask)[:2] for mask in draw(0.25, (6, 8), n=2000)]
    counts = np.zeros((4, 6))
    np.add.at(counts, tuple(np.array(places).T), 1)
    assert counts.min() > 0.5 * counts.mean() and counts.max() < 1.6 * counts.mean()


@pytest.mark.parametrize(
    "ratio, grid, nearest",
    [(0.005, (6, 6), r"0\.03 \(1 x 1\)"), (0.95, (6, 6), r"0\.69 \(5 x 5\)"), (0.9, (4, 8), r"0\.50 \(4 x 4\)")],
)
def test_a_square_of_nothing_or_everything_is_refused_with_the_nearest(ratio, grid, nearest):
    with pytest.raises(ValueError, match=rf"mask\.ratio {ratio} .* nearest: {nearest}"):
        draw(ratio, grid)


def test_a_grid_of_one_cell_has_no_square():
    with pytest.raises(ValueError, match="on 1 x 1 cells"):
        draw(0.5, (1, 1))
