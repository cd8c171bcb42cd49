"""Sizes convert into each other exactly, or are refused."""

import numpy as np
import pytest
import torch

from simmim.geometry import Geometry


def test_the_paper_s_default_sizes():
    geometry = Geometry(image=(192, 192), token=4, stride=32, masked_patch=32)
    assert geometry.cells == (6, 6)
    assert geometry.tokens == (48, 48)


@pytest.mark.parametrize("make", [np.array, torch.tensor], ids=["numpy", "torch"])
def test_a_cell_covers_its_tokens_and_its_pixels_and_nothing_else(make):
    geometry = Geometry(image=(16, 32), token=4, stride=8, masked_patch=8)
    cells = np.zeros((1, 2, 4), dtype=bool)
    cells[0, 1, 2] = True
    tokens = geometry.cells_to_tokens(make(cells))
    pixels = np.asarray(geometry.tokens_to_pixels(tokens))
    assert tuple(tokens.shape) == (1, 4, 8)
    assert pixels.shape == (1, 16, 32)
    expected = np.zeros((16, 32), dtype=bool)
    expected[8:16, 16:24] = True
    np.testing.assert_array_equal(pixels[0], expected)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"masked_patch": 48}, "masked patch of 48 px does not divide the image of 64 x 64 px"),
        ({"masked_patch": 2}, "token of 4 px does not divide the masked patch of 2 px"),
        ({"image": (64, 80)}, "encoder stride of 32 px does not divide the image of 64 x 80 px"),
        ({"token": 0}, "token of 0 px"),
    ],
)
def test_sizes_that_do_not_divide_are_refused(sizes, message):
    good = {"image": (64, 64), "token": 4, "stride": 32, "masked_patch": 16}
    with pytest.raises(ValueError, match=message):
        Geometry(**(good | sizes))
