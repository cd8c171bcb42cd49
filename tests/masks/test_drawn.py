"""Human-designed masks: the outlined cells, all of them or a share of them."""

import numpy as np
import pytest

from simmim.config.reading import parse_set
from simmim.masks.drawn import Drawn
from simmim.rng import KeyedGenerator

TRIANGLE = "polygon 0.5 0 1 1 0 1"


def draw(outline, share=1.0, grid=(6, 6), n=100):
    return Drawn(outline, share).sample(n, grid, KeyedGenerator(0, 0, np.arange(n), "mask"))


def test_a_box_is_its_cells_left_top_right_bottom():
    wanted = np.zeros((6, 6), dtype=bool)
    wanted[1:5, 2:4] = True
    assert (draw("box 0.35 0.2 0.65 0.8") == wanted).all()


def test_a_cell_is_hidden_if_the_outline_touches_it():
    """All of an object is hidden then, and a cell that it only borders on is not."""
    assert draw("box 0.7 0 1 1", grid=(1, 3))[0].tolist() == [[False, False, True]]
    assert draw("box 0.6 0 1 1", grid=(1, 3))[0].tolist() == [[False, True, True]]


def test_a_polygon_may_be_concave():
    wanted = ["......", "..##..", ".####.", ".####.", "######", "##..##"]
    masks = draw("polygon 0.5 0.17 0.95 0.95 0.5 0.65 0.05 0.95")
    assert ["".join(".#"[cell] for cell in row) for row in masks[0].astype(int)] == wanted


def test_a_polygon_with_a_box_s_corners_is_the_box():
    polygon = draw("polygon 0.3 0.1 0.7 0.1 0.7 0.85 0.3 0.85", grid=(13, 11))
    assert np.array_equal(polygon, draw("box 0.3 0.1 0.7 0.85", grid=(13, 11)))


def test_most_of_an_object_is_another_part_of_it_in_every_image():
    whole, most = draw(TRIANGLE), draw(TRIANGLE, share=0.7)
    assert (most.sum((1, 2)) == np.ceil(0.7 * whole[0].sum())).all()
    assert not (most & ~whole).any()
    assert np.array_equal(most.any(0), whole[0])


@pytest.mark.parametrize(
    "outline, words",
    [
        ("bxo 0 0 1 1", "did you mean 'box'"),
        ("", "allowed: box, polygon"),
        ("box 0 0 1", "left top right bottom"),
        ("box 0.5 0 0.5 1", "left < right"),
        ("box 0 0 1 much", "must be a number"),
        ("box 0 0 120 1", "from 0 to 1"),
        ("polygon 0 0 1 1", "three pairs"),
        ("polygon 0 0 1 1 0", "three pairs"),
    ],
)
def test_an_outline_that_is_none_is_refused(outline, words):
    with pytest.raises(ValueError, match=words):
        Drawn(outline)


@pytest.mark.parametrize("share", [0, -1, 1.01, "all"])
def test_a_share_outside_0_to_1_is_refused(share):
    with pytest.raises(ValueError, match=rf"mask\.share {share}"):
        Drawn(share=share)


@pytest.mark.parametrize("outline, count", [("box 0.5 0.5 0.501 0.501", 0), ("box 0.1 0.1 0.9 0.9", 36)])
def test_nothing_hidden_or_nothing_visible_is_refused(outline, count):
    with pytest.raises(ValueError, match=f"hides {count} of 36 cells"):
        draw(outline)


def test_a_part_of_an_object_that_is_all_of_it_is_refused():
    with pytest.raises(ValueError, match=r"mask.share 0.905 of 10 cells that 'box 0 0 0.8 0.3' touches is all of them"):
        draw("box 0 0 0.8 0.3", share=0.905)
    assert draw("box 0 0 0.9 0.3", share=0.905)[0].sum() == 11


def test_an_outline_can_be_written_in_a_sheet():
    values = parse_set("mask=drawn mask.outline='box 0.2 0.2 0.8 0.7' mask.share=0.8")
    assert values == {"mask": "drawn", "mask.outline": "box 0.2 0.2 0.8 0.7", "mask.share": "0.8"}
