"""Equal-sized bins of the 8-bit range."""

import pytest
import torch

from simmim.layers.normaliser import ImageNormaliser
from simmim.targets.bins import Bins

NORMALISER = ImageNormaliser([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


def _ramp():
    """All 256 values in every channel, [1, 3, 16, 16] uint8."""
    return torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).expand(1, 3, 16, 16)


@pytest.mark.parametrize("bins", [2, 4, 8, 16, 32, 256])
def test_every_bin_holds_equally_many_values_and_the_edges_are_exact(bins):
    found = Bins(3, bins)(_ramp(), NORMALISER(_ramp()))
    expected = torch.arange(256) // (256 // bins)
    assert found.dtype == torch.int64
    for channel in range(3):
        assert torch.equal(found[0, channel].flatten(), expected)


def test_lower_resolutions_are_averaged_before_they_are_binned():
    image = torch.zeros(1, 3, 4, 4, dtype=torch.uint8)
    image[0, 1, :2, :2] = torch.tensor([[0, 255], [255, 250]])
    found = Bins(3, 8, resolution_px=2)(image, NORMALISER(image))
    assert found.shape == (1, 3, 2, 2)
    assert found[0, 1, 0, 0] == 190 // 32
    assert found.sum() == 190 // 32


def test_an_average_on_the_edge_of_two_values_is_rounded_to_the_even_one_whatever_the_statistics():
    """31.5 is 32 and 32.5 is 32: of 8 bins both lie in the second."""
    image = torch.zeros(1, 1, 2, 4, dtype=torch.uint8)
    image[0, 0] = torch.tensor([[31, 32, 32, 33], [31, 32, 32, 33]])
    for normaliser in (ImageNormaliser([0.485], [0.229]), ImageNormaliser([0.1], [30.0])):
        assert Bins(1, 8, resolution_px=1)(image, normaliser(image)).tolist() == [[[[1, 1]]]]


def test_a_certain_prediction_shows_the_centre_of_its_bin_and_an_undecided_one_the_middle():
    target, images = Bins(3, 4, resolution_px=2), torch.zeros(1, 3, 4, 4)
    logits = torch.zeros(1, 12, 2, 2)
    logits[0, 4 + 3, 0, 0] = 100  # channel 1, bin 3: values 192 to 255
    values = NORMALISER.values(target.to_pixels(logits, images, NORMALISER))
    assert values[0, 1, 0, 0].item() == pytest.approx(223.5, abs=0.01)
    assert values[0, 1, 3, 3].item() == pytest.approx(127.5, abs=0.01)


@pytest.mark.parametrize("bins", [1, 257, 0])
def test_bins_outside_2_to_256_are_refused(bins):
    with pytest.raises(ValueError, match=f"target.bins {bins} must lie in 2 to 256"):
        Bins(3, bins)
