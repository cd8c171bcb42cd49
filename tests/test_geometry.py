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


def test_the_paper_s_target_resolutions_fit():
    swin = Geometry(image=(192, 192), token=4, stride=32, masked_patch=32)
    assert [swin.target_cell(n) for n in (6, 12, 24, 48, 96, 192)] == [32, 16, 8, 4, 2, 1]
    vit = Geometry(image=(224, 224), token=16, stride=16, masked_patch=32)
    assert vit.target_cell(14, multiple_of=8) == 16


@pytest.mark.parametrize("make", [np.array, torch.tensor], ids=["numpy", "torch"])
@pytest.mark.parametrize("resolution", [2, 4, 8, 16])
def test_a_mask_on_target_cells_is_the_mask_on_pixels(make, resolution):
    geometry = Geometry(image=(16, 32), token=4, stride=8, masked_patch=8)
    cells = np.zeros((1, 2, 4), dtype=bool)
    cells[0, 1, 2] = cells[0, 0, 3] = True
    tokens = geometry.cells_to_tokens(make(cells))
    cell = geometry.target_cell(resolution)
    found = np.asarray(geometry.tokens_to_target(tokens, cell))
    assert found.shape == (1, resolution, 2 * resolution)
    pixels = np.asarray(geometry.tokens_to_pixels(tokens))
    np.testing.assert_array_equal(found.repeat(cell, 1).repeat(cell, 2), pixels)


@pytest.mark.parametrize(
    ("resolution", "changes", "message"),
    [
        (7, {}, "target resolution of 7 px does not fit an image of 64 px.*nearest that fit: 4 and 8"),
        (128, {}, "nearest that fit: 32 and 64"),
        (0, {}, "nearest that fit: 4 and 8"),
        (2, {}, "masked patches of 16 px; nearest that fit: 4 and 8"),  # a cell would be hidden in part
        (4, {"stride": 8, "token": 8}, "nearest that fit: 8 and 16"),  # a feature would be less than a cell
        (16, {"multiple_of": 8}, "nearest that fit: 4 and 8"),  # too fine for the tokenizer
        (16, {"multiple_of": 64}, "nearest that fit: none"),
    ],
)
def test_a_target_resolution_that_does_not_fit_is_refused_with_the_nearest(resolution, changes, message):
    sizes = {"image": (64, 64), "token": 4, "stride": 32, "masked_patch": 16} | changes
    multiple_of = sizes.pop("multiple_of", 1)
    with pytest.raises(ValueError, match=message):
        Geometry(**sizes).target_cell(resolution, multiple_of)
