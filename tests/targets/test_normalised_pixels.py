"""Local target normalisation against the released code and against its definition."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from simmim.targets.normalised_pixels import NormalisedPixels

GOLDEN = Path(__file__).parents[1] / "golden"


def _cases():
    record = json.loads((GOLDEN / "norm_targets_a.json").read_text())
    return [row for row in record["rows"] if "k" in row]


@pytest.mark.parametrize("row", _cases(), ids=lambda row: row["key"])
def test_the_released_targets(row):
    data = load_file(GOLDEN / "norm_targets_a.data.safetensors")
    images, expected = data[f"{row['key']}.image"], data[f"{row['key']}.f32"].double()
    target = NormalisedPixels(3, row["k"])
    precise = target(None, images.double())
    torch.testing.assert_close(precise, expected, rtol=0, atol=1.01 * row["max_abs_diff_fp32_vs_fp64"])
    assert precise.mean().item() == pytest.approx(row["mean_fp64"], abs=1e-8)
    assert precise.std().item() == pytest.approx(row["std_fp64"], abs=1e-8)
    assert precise.abs().mean().item() == pytest.approx(row["abs_mean_fp64"], abs=1e-8)
    torch.testing.assert_close(target(None, images.float()).double(), expected, rtol=0, atol=2e-4)


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
