"""What every target must do, found by its file: shapes, the head's channels, a picture, and images only."""

import inspect

import pytest
import torch
from torch import nn

from simmim import losses, plugin
from simmim.layers.normaliser import ImageNormaliser

NORMALISER = ImageNormaliser([0.4, 0.5, 0.6], [0.2, 0.25, 0.3])


class Corners(nn.Module):
    """A tokenizer of two codes: whether the first pixel of a square of four is bright."""

    codes, factor = 2, 2

    def encode(self, images):
        return (images[:, 0, ::2, ::2] > 0.5).long()

    def decode(self, codes):
        return codes[:, None].float().expand(-1, 3, -1, -1).repeat_interleave(2, 2).repeat_interleave(2, 3)


SECTIONS = [
    {"name": "pixels"},
    {"name": "pixels", "resolution_px": 4},
    {"name": "normalised_pixels", "window_px": 5},
    {"name": "bins", "bins": 8},
    {"name": "bins", "bins": 3, "resolution_px": 8},
    {"name": "tokens", "tokenizer": Corners(), "resolution_px": 4},
]


def _images():
    values = torch.randint(256, (2, 3, 16, 32), generator=torch.Generator().manual_seed(0))
    return NORMALISER(values.to(torch.uint8))


def test_every_target_is_under_this_contract():
    assert {section["name"] for section in SECTIONS} == set(plugin.names("targets"))


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section["name"])
def test_a_target_gives_what_its_losses_compare(section):
    target, images = plugin.build("targets", section, normaliser=NORMALISER), _images()
    wanted = target(images)
    rows = target.resolution_px or 16
    assert wanted.shape[0] == 2 and wanted.shape[2:] == (rows, 2 * rows)
    assert 16 // rows % target.cell_multiple == 0
    prediction = torch.zeros(2, target.channels, rows, 2 * rows)
    assert target.losses
    for name in target.losses:
        loss = losses.BY_NAME[name](prediction, wanted, torch.ones(2, 1, rows, 2 * rows))
        assert loss.ndim == 0 and loss > 0
    assert target.to_pixels(prediction, images).shape == images.shape
    assert wanted.dtype in (torch.int64, images.dtype)
    assert target.in_pixel_units == (section["name"] == "pixels")


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section["name"])
def test_a_target_sees_images_only(section):
    kind = plugin.component("targets", section["name"])
    assert list(inspect.signature(kind.__call__).parameters) == ["self", "images"]
    target, images = plugin.build("targets", section, normaliser=NORMALISER), _images()
    assert torch.equal(target(images)[:1], target(images[:1]))
