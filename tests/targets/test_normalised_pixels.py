"""Local target normalisation against the released code and against its definition."""

import pytest
import torch
from official_runs import check_target, target_rows

from simmim.targets.normalised_pixels import NormalisedPixels


@pytest.mark.parametrize("row", target_rows(), ids=lambda row: row["key"])
def test_the_released_targets(row):
    check_target(row)


def test_a_flat_image_is_zero():
    assert NormalisedPixels(3, 9)(None, torch.full((1, 3, 32, 32), 0.5)).abs().max() == 0


def test_the_definition_at_a_corner_and_inside():
    images = torch.randn(1, 2, 12, 20, dtype=torch.float64)
    target = NormalisedPixels(2, 5)(None, images)
    for row, column, window in ((0, 19, images[0, 1, :3, 17:]), (6, 7, images[0, 1, 4:9, 5:10])):
        expected = (images[0, 1, row, column] - window.mean()) / (window.var() + 1e-6).sqrt()
        torch.testing.assert_close(target[0, 1, row, column], expected)


def test_the_picture_of_the_truth_is_the_image():
    images = torch.randn(1, 3, 16, 16)
    target = NormalisedPixels(3, 7)
    torch.testing.assert_close(target.to_pixels(target(None, images), images, None), images)


@pytest.mark.parametrize("window", [4, 1, 0, -3])
def test_an_even_or_empty_window_is_refused(window):
    with pytest.raises(ValueError, match=f"target.window_px {window} must be odd and at least 3"):
        NormalisedPixels(3, window)
