"""What every target must do, found by its file: shapes, the head's channels, a picture, and images only."""

import pytest
import torch
from helpers.contracts import missing
from torch import nn

from simmim import losses, plugin
from simmim.layers.normaliser import ImageNormaliser
from simmim.plugin import Component

NORMALISE = ImageNormaliser([0.4, 0.5, 0.6], [0.2, 0.25, 0.3])


class Corners(nn.Module):
    """A tokenizer of two codes: whether the first pixel of a square of four is bright."""

    codes, factor = 2, 2

    def encode(self, images):
        return (images[:, 0, ::2, ::2] > 0.5).long()

    def decode(self, codes):
        return codes[:, None].float().expand(-1, 3, -1, -1).repeat_interleave(2, 2).repeat_interleave(2, 3)


KNOWN = [
    Component(name="pixels"),
    Component(name="pixels", resolution_px=4),
    Component(name="normalised_pixels", window_px=5),
    Component(name="bins", bins=8),
    Component(name="bins", bins=3, resolution_px=8),
    Component(name="tokens", tokenizer=Corners(), resolution_px=4),
]
OTHERS = sorted({*plugin.names("targets")} - {section.name for section in KNOWN})
EVERY = pytest.mark.parametrize("section", [*KNOWN, *(Component(name=name) for name in OTHERS)], ids=lambda s: s.name)


def _images():
    """The same images as stored, uint8, and normalised."""
    pixels = torch.randint(256, (2, 3, 16, 32), generator=torch.Generator().manual_seed(0)).byte()
    return pixels, NORMALISE(pixels)


def _target(section):
    return plugin.build("targets", section, image_channels=3)


@EVERY
def test_it_has_the_members_of_the_contract(section):
    assert not missing("targets", _target(section))


@EVERY
def test_a_target_gives_what_its_losses_compare(section):
    target, (pixels, normalised) = _target(section), _images()
    wanted = target(pixels, normalised)
    rows = target.resolution_px or 16
    assert wanted.shape[0] == 2 and wanted.shape[2:] == (rows, 2 * rows)
    assert 16 // rows % target.cell_multiple == 0
    prediction = torch.zeros(2, target.channels, rows, 2 * rows)
    assert target.losses
    for name in target.losses:
        loss = losses.BY_NAME[name](prediction, wanted, torch.ones(2, 1, rows, 2 * rows))
        assert loss.ndim == 0 and loss > 0
    assert wanted.dtype in (torch.int64, normalised.dtype)


@EVERY
def test_a_picture_of_a_prediction_is_normalised_or_none(section):
    target, (_, normalised) = _target(section), _images()
    rows = target.resolution_px or 16
    picture = target.to_pixels(torch.zeros(2, target.channels, rows, 2 * rows), normalised, NORMALISE)
    assert picture is None or picture.shape == normalised.shape


@EVERY
def test_images_of_a_batch_do_not_meet(section):
    target, (pixels, normalised) = _target(section), _images()
    assert torch.equal(target(pixels, normalised)[:1], target(pixels[:1], normalised[:1]))


@EVERY
def test_pixels_may_come_as_numbers_from_0_to_255(section):
    target, (pixels, normalised) = _target(section), _images()
    assert torch.equal(target(pixels.float(), normalised), target(pixels, normalised))


@EVERY
def test_a_target_whose_units_are_pixels_is_right_where_the_prediction_is_the_image(section):
    """The mean-colour baseline is offered only where the colour itself is a prediction without error."""
    target, (pixels, _) = _target(section), _images()
    flat = pixels[:, :, :1, :1].expand_as(pixels)
    colour, wanted = NORMALISE(flat)[:, :, :1, :1], target(flat, NORMALISE(flat))
    is_colour = wanted.is_floating_point() and torch.allclose(wanted, colour.expand_as(wanted), atol=1e-5)
    assert target.in_pixel_units == is_colour


@EVERY
def test_equal_settings_are_equal_targets(section):
    assert _target(section) == _target(section)
