"""What every mask must do, whatever it is."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from helpers.contracts import missing, small
from masks.small import SMALL

from simmim import plugin
from simmim.config.component_settings import settings_of
from simmim.config.sheets import Sheets
from simmim.data.pretraining import hidden_tokens
from simmim.plugin import Component
from simmim.pretraining.masking import geometry_of
from simmim.report.facts import facts
from simmim.rng import KeyedGenerator

MASKS = plugin.names("masks")
GRID = 6, 8


def _mask(name):
    return small("masks", name, SMALL)


def _sample(name, samples, epoch=0, seed=0, grid=GRID):
    samples = np.asarray(samples)
    return _mask(name).sample(len(samples), grid, KeyedGenerator(seed, epoch, samples, "mask"))


@pytest.mark.parametrize("name", MASKS)
def test_it_has_the_members_of_the_contract(name):
    assert not missing("masks", _mask(name))


@pytest.mark.parametrize("name", MASKS)
@pytest.mark.parametrize("grid", [(6, 6), (4, 9), (12, 5), (24, 24)])
def test_masks_are_booleans_on_the_grid_that_hide_some_cells_and_leave_some(name, grid):
    masks = _sample(name, range(50), grid=grid)
    assert masks.shape == (50, *grid) and masks.dtype == bool
    assert masks.any((1, 2)).all() and not masks.all((1, 2)).any()


@pytest.mark.parametrize("name", MASKS)
def test_a_sample_has_its_mask_whatever_stands_beside_it(name):
    together = _sample(name, range(40))
    assert np.array_equal(together[::-1], _sample(name, range(39, -1, -1)))
    for sample in (0, 1, 17, 39):
        assert np.array_equal(together[sample], _sample(name, [sample])[0])


@pytest.mark.parametrize("name", MASKS)
def test_masks_are_a_pure_function_of_seed_epoch_and_sample(name):
    np.random.seed(1)
    first = _sample(name, range(40))
    np.random.seed(2)
    assert np.array_equal(first, _sample(name, range(40)))
    for other in (_sample(name, range(40), epoch=1), _sample(name, range(40), seed=1), _sample(name, range(40, 80))):
        assert (first != other).any((1, 2)).mean() > 0.5


@pytest.mark.parametrize("name", MASKS)
def test_an_epoch_of_its_own_for_every_sample(name):
    """A batch may hold samples of two epochs."""
    epochs = np.array([0, 1, 0, 1])
    mixed = _mask(name).sample(4, GRID, KeyedGenerator(0, epochs, np.arange(4), "mask"))
    both = [_sample(name, range(4), epoch) for epoch in (0, 1)]
    assert all(np.array_equal(mixed[i], both[epoch][i]) for i, epoch in enumerate(epochs))


@pytest.mark.parametrize("name", MASKS)
def test_every_image_hides_equally_many_cells(name):
    assert len(set(_sample(name, range(200)).sum((1, 2)).tolist())) == 1


@pytest.mark.parametrize("name", MASKS)
def test_a_mask_is_a_frozen_value(name):
    mask = _mask(name)
    assert mask == _mask(name) and hash(mask) == hash(_mask(name))
    for field in dataclasses.fields(mask):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(mask, field.name, 0.5)


@pytest.mark.parametrize("name", [name for name in MASKS if "ratio" in settings_of("masks", name)])
@pytest.mark.parametrize("ratio", [0, 1, -0.1, 60, float("nan"), "much"])
def test_a_ratio_outside_0_to_1_is_refused_with_the_nearest(name, ratio):
    with pytest.raises(ValueError, match=rf"mask\.ratio {ratio} must lie inside \(0, 1\)"):
        plugin.build("masks", Component(name=name, ratio=ratio))


def test_no_two_masks_of_a_scale_that_is_reported_are_the_same():
    """Ratios of 0.1 and 0.2 hide one of four cells, and no comparison could tell them apart."""
    sheets = Sheets(Path(__file__).parents[2] / "config")
    for scale in ("small", "demo"):
        runs: dict[bytes, list[str]] = {}
        for run in facts(sheets, scale).fitting_masks:
            config = sheets.pretraining(scale, run)
            hidden = hidden_tokens(plugin.build("masks", config.mask), geometry_of(config), 0, 0, np.arange(64))
            runs.setdefault(hidden.numpy().tobytes(), []).append(run)
        assert not [same for same in runs.values() if len(same) > 1], scale
