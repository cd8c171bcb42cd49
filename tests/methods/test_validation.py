"""SimMIM's validation loss and its baseline, against a loop over images."""

import numpy as np
import pytest
import torch
from helpers.pretraining import SWIN, built_simmim, packed

from simmim.data.pretraining import whole_images
from simmim.data.shards import Shards
from simmim.methods import _validation
from simmim.methods._validation import mean_visible_colour
from simmim.rng import KeyedGenerator


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return Shards(packed(tmp_path_factory.mktemp("stripes"))["val"])


def _expected(method, shards, count):
    """Mean absolute errors on hidden pixels of the prediction and of the visible colour, image by image."""
    method.eval()
    errors, baselines = [], []
    for sample in range(count):
        images = method.normalise(whole_images(shards, np.array([sample]), (32, 48), 3))
        cells = method.mask.sample(1, (2, 3), KeyedGenerator(0, 0, np.array([sample]), "mask"))
        hidden = method.geometry.cells_to_tokens(torch.from_numpy(cells))
        pixels = method.geometry.tokens_to_pixels(hidden)[0]  # [32, 48]
        with torch.no_grad():
            errors.append((method.predict(images, hidden) - images)[0][:, pixels].abs().mean().item())
        colour = images[0][:, ~pixels].mean(1)  # [3]
        baselines.append((images[0][:, pixels] - colour[:, None]).abs().mean().item())
    return {"validation_loss": np.mean(errors), "validation_loss_mean_colour": np.mean(baselines)}


@pytest.mark.parametrize("area", ["masked", "full"])
@pytest.mark.parametrize("count, at_once", [(16, 64), (11, 3)])
def test_losses_are_those_of_hidden_pixels_image_by_image(shards, monkeypatch, area, count, at_once):
    monkeypatch.setattr(_validation, "VALIDATION_IMAGES", count)
    monkeypatch.setattr(_validation, "_IMAGES_AT_ONCE", at_once)
    method = built_simmim(encoder=SWIN | {"drop_path": 0.5}, loss={"name": "l1", "area": area}).train()
    assert method.validate(shards, None) == pytest.approx(_expected(method, shards, count), rel=1e-5)


def test_a_target_in_other_units_has_no_colour_to_be_held_against(shards):
    method = built_simmim(target={"name": "normalised_pixels", "window_px": 5})
    assert method.validate(shards, None).keys() == {"validation_loss"}


def test_the_mean_colour_does_not_see_hidden_pixels():
    images = torch.randn(2, 3, 6, 4)
    hidden = torch.rand(2, 1, 6, 4) < 0.5
    hidden[:, :, 0, 0], hidden[:, :, 0, 1] = True, False
    changed = torch.where(hidden, 1e3, images)
    expected = torch.stack([image[:, ~mask[0]].mean(1) for image, mask in zip(images, hidden)])
    for each in (images, changed):
        torch.testing.assert_close(mean_visible_colour(each, hidden)[:, :, 0, 0], expected)
