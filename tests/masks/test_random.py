"""Random masks: an exact count for every image, drawn without preference."""

import numpy as np
import pytest

from simmim.masks.random import Random
from simmim.rng import KeyedGenerator


def draw(ratio, grid, n=64, epoch=0):
    return Random(ratio).sample(n, grid, KeyedGenerator(0, epoch, np.arange(n), "mask"))


@pytest.mark.parametrize(
    ("ratio", "grid", "hidden"),
    [(0.6, (6, 6), 22), (0.6, (7, 7), 30), (0.28, (5, 5), 8), (0.5, (4, 8), 16), (0.01, (2, 2), 1)],
)
def test_every_image_hides_the_ceiling_of_its_share(ratio, grid, hidden):
    masks = draw(ratio, grid)
    assert masks.shape == (64, *grid) and masks.dtype == bool
    assert (masks.sum((1, 2)) == hidden).all()


def test_every_cell_is_hidden_equally_often():
    share = draw(0.6, (6, 6), n=5000).mean(0)
    assert np.abs(share - 22 / 36).max() < 0.03


def test_epochs_draw_anew():
    assert (draw(0.6, (6, 6)) != draw(0.6, (6, 6), epoch=1)).any((1, 2)).mean() > 0.95


@pytest.mark.parametrize("ratio", [0, 1, -0.1, 1.5])
def test_a_ratio_outside_0_to_1_is_refused(ratio):
    with pytest.raises(ValueError, match=r"mask\.ratio"):
        Random(ratio)
