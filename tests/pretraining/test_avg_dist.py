"""AvgDist: the definition by brute force, and the paper's Figure 3a."""

import numpy as np
import pytest

from simmim import plugin
from simmim.geometry import Geometry
from simmim.plugin import Component
from simmim.pretraining.avg_dist import avg_dist
from simmim.rng import KeyedGenerator

# Figure 3a of arXiv 2111.09886v2, read off its raster to about 0.1: (mask, masked patch), ratio, AvgDist in pixels.
FIGURE_3A = {
    ("random", 4): {0.4: 4.1, 0.6: 4.5, 0.8: 5.6},
    ("random", 8): {0.4: 4.7, 0.6: 5.7, 0.8: 8.1},
    ("random", 16): {0.4: 7.0, 0.6: 9.1, 0.8: 14.4},
    ("random", 32): {0.1: 9.3, 0.2: 10.2, 0.3: 11.2, 0.4: 12.7, 0.5: 14.7, 0.6: 17.4, 0.7: 21.6, 0.8: 30.0, 0.9: 47.2},
    ("random", 64): {0.1: 19.6, 0.2: 21.7},
    ("square", 32): {0.11: 15.5, 0.25: 24.0, 0.44: 34.8},
    ("block", 16): {0.4: 18.6, 0.6: 25.0, 0.8: 35.9},
    ("block", 32): {0.4: 22.3, 0.6: 31.7, 0.8: 45.2},
}
POINTS = [(*mask, ratio, value) for mask, curve in FIGURE_3A.items() for ratio, value in curve.items()]


def brute_force(mask):
    hidden, visible = np.argwhere(mask), np.argwhere(~mask)
    return np.sqrt(((hidden[:, None] - visible[None]) ** 2).sum(-1)).min(1).mean()


@pytest.mark.parametrize("grid", [(6, 6), (5, 11), (16, 12)])
def test_it_is_the_mean_distance_to_the_nearest_visible_element(grid):
    masks = np.random.default_rng(0).random((20, *grid)) < 0.7
    assert avg_dist(masks) == pytest.approx([brute_force(mask) for mask in masks])
    assert avg_dist(masks, side_px=4) == pytest.approx(4 * avg_dist(masks))


def test_pixels_of_a_mask_on_cells_against_brute_force():
    geometry = Geometry((24, 16), token=2, stride=4, masked_patch=4)
    cells = plugin.build("masks", Component(name="block")).sample(
        8, geometry.cells, KeyedGenerator(0, 0, np.arange(8), "m")
    )
    pixels = geometry.tokens_to_pixels(geometry.cells_to_tokens(cells))
    assert avg_dist(pixels) == pytest.approx([brute_force(mask) for mask in pixels])


def test_one_hidden_cell_of_four_tokens_by_hand():
    """Of its 2 x 2 tokens each has a visible neighbour beside it; of its 4 x 4 pixels the inner four have none."""
    geometry = Geometry((12, 12), token=2, stride=4, masked_patch=4)
    cells = np.zeros((1, 3, 3), dtype=bool)
    cells[0, 1, 1] = True
    tokens = geometry.cells_to_tokens(cells)
    assert avg_dist(tokens, geometry.token)[0] == 2
    assert avg_dist(geometry.tokens_to_pixels(tokens))[0] == pytest.approx((12 * 1 + 4 * 2) / 16)


@pytest.mark.parametrize("value, words", [(True, "everything"), (False, "nothing")])
def test_it_is_not_defined_for_a_mask_of_everything_or_nothing(value, words):
    masks = np.random.default_rng(0).random((3, 4, 4)) < 0.5
    masks[1] = value
    with pytest.raises(ValueError, match=f"mask 1 of 3 hides {words}"):
        avg_dist(masks)


@pytest.mark.parametrize("name, patch_px, ratio, published", POINTS)
def test_the_paper_s_figure_3a_comes_out_within_8_percent(name, patch_px, ratio, published):
    geometry = Geometry((192, 192), token=4, stride=32, masked_patch=patch_px)
    mask = plugin.build("masks", Component(name=name, ratio=ratio))
    cells = mask.sample(2048, geometry.cells, KeyedGenerator(0, 0, np.arange(2048), "mask"))
    assert avg_dist(geometry.cells_to_tokens(cells), geometry.token).mean() == pytest.approx(published, rel=0.08)
