"""Masks have the released code's counts and shape; the draws themselves are keyed differently."""

import numpy as np
import pytest
from official import case, tensors

from simmim.geometry import Geometry
from simmim.masks.random import Random
from simmim.rng import KeyedGenerator

ROWS = case("masks_a")["rows"]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["key"])
def test_count_and_shape(row):
    side, token = row["img_size"], row["model_patch_size"]
    geometry = Geometry((side, side), token, token, row["mask_patch_size"])
    cells = Random(row["mask_ratio"]).sample(3, geometry.cells, KeyedGenerator(0, 0, np.arange(3), "mask"))
    assert cells.sum((1, 2)).tolist() == [row["masked_cells"]] * 3
    hidden = geometry.cells_to_tokens(cells)
    assert hidden.shape == (3, *row["mask_shape"])
    assert hidden.sum((1, 2)).tolist() == [row["masked_tokens"]] * 3


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["key"])
def test_released_masks_are_cells_repeated_on_both_axes(row):
    """The released masks, cut down to cells and enlarged by our geometry, come back."""
    released = tensors("masks_a")[row["key"]].numpy().astype(bool)
    side, token = row["img_size"], row["model_patch_size"]
    geometry = Geometry((side, side), token, token, row["mask_patch_size"])
    cells = released[:, :: row["repeat"], :: row["repeat"]]
    assert cells.shape[1:] == geometry.cells
    assert np.array_equal(geometry.cells_to_tokens(cells), released)
