"""Block-wise masks: an exact count in rectangles, and an end for every grid."""

import math

import numpy as np
import pytest
from scipy.ndimage import label

from simmim.masks.block import Block, _completion
from simmim.masks.random import Random
from simmim.rng import KeyedGenerator


def draw(mask, grid, n=300):
    return mask.sample(n, grid, KeyedGenerator(0, 0, np.arange(n), "mask"))


@pytest.mark.parametrize("ratio", [0.05, 0.4, 0.6, 0.8, 0.95])
@pytest.mark.parametrize("grid", [(6, 6), (12, 12), (5, 9), (48, 48)])
def test_every_image_hides_the_ceiling_of_its_share(ratio, grid):
    masks = draw(Block(ratio), grid)
    assert (masks.sum((1, 2)) == math.ceil(ratio * grid[0] * grid[1])).all()


@pytest.mark.parametrize("grid", [(1, 3), (1, 7), (2, 2), (3, 2)])
@pytest.mark.parametrize("min_cells", [1, 2, 50])
def test_it_ends_with_the_exact_count_where_hardly_a_block_fits(grid, min_cells):
    masks = draw(Block(0.6, min_cells), grid)
    assert (masks.sum((1, 2)) == math.ceil(0.6 * grid[0] * grid[1])).all()


def test_hidden_cells_lie_together():
    """Far fewer separate regions than as many cells drawn at random."""
    regions = [np.mean([label(mask)[1] for mask in draw(kind(0.4), (12, 12))]) for kind in (Block, Random)]
    assert regions[0] < 3.5 < 15 < regions[1]


def test_first_blocks_are_rectangles_within_area_and_aspect():
    """One block is enough where its area must be the whole count."""
    masks = draw(Block(12 / 400, min_cells=12), (20, 20))
    sides = np.array([(mask.any(1).sum(), mask.any(0).sum()) for mask in masks])
    whole = sides.prod(1) == masks.sum((1, 2))  # the others needed a second block
    assert whole.mean() > 0.2
    aspects = sides[whole, 0] / sides[whole, 1]
    assert aspects.min() == pytest.approx(1 / 3) and aspects.max() == pytest.approx(3)


def test_cells_beside_hidden_ones_complete_a_mask():
    hidden = np.zeros((50, 6, 6), dtype=bool)
    hidden[:, 2:4, 3] = True
    added = _completion(hidden, np.full(50, 4), np.random.default_rng(0).random(50))
    beside = np.zeros((6, 6), dtype=bool)
    beside[1:5, 3] = beside[2:4, 2:5] = True
    assert (added.sum((1, 2)) == 4).all() and not (added & (hidden | ~beside)).any()
    assert np.array_equal(added.any(0), beside & ~hidden[0])  # none of the six is preferred


def test_blocks_grow_with_their_smallest_area():
    few, many = (np.mean([label(m)[1] for m in draw(Block(0.3, cells), (24, 24))]) for cells in (60, 1))
    assert few < many


@pytest.mark.parametrize("min_cells", [0, -3, 1.5, "two"])
def test_a_smallest_block_below_one_cell_is_refused(min_cells):
    with pytest.raises(ValueError, match=rf"mask\.min_cells {min_cells} .* nearest: 1"):
        Block(0.6, min_cells)
