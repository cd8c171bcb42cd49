import numpy as np
import pytest
import torch
from official import case, tensors
from scipy.interpolate import CubicSpline
from scipy.optimize import brentq

from simmim.encoders._position_bias import placement, resize_table, square_side


@pytest.mark.parametrize("row", case("rpb_interpolation_a")["rows"], ids=lambda row: row["key"])
def test_released_tables(row):
    data = tensors("rpb_interpolation_a")
    source, target = (row["source_window"],) * 2, (row["target_window"],) * 2
    fitted = resize_table(data[f"{row['key']}.source"], source, target)
    torch.testing.assert_close(fitted, data[f"{row['key']}.expected"], rtol=0, atol=1e-6)
    if not row.get("unchanged"):
        old, new = placement(row["source_table_side"], row["target_table_side"])
        np.testing.assert_allclose(old, row["source_positions"], rtol=1e-12)
        np.testing.assert_array_equal(new, row["target_positions"])


def _resized_independently(plane, source, target):
    """The rule of the paper's code from its description: spacings that grow by a ratio, splines axis by axis."""
    half, reach = source - 1, target - 1
    ratio = brentq(lambda q: sum(q**power for power in range(half)) - reach, 1e-3, 10)
    steps = np.clip(ratio, 1.01, 1.5) ** np.arange(half)  # the bracket of the released search
    old = np.concatenate([-np.cumsum(steps)[::-1], [0], np.cumsum(steps)])
    new = np.clip(np.arange(-reach, reach + 1), old[0], old[-1])  # FITPACK's splines are constant beyond the last knot
    for axis in (0, 1):
        plane = CubicSpline(old, plane, axis=axis, bc_type="not-a-knot")(new)
    return plane


@pytest.mark.parametrize("source, target", [(7, 20), (14, 20), (6, 20), (6, 7), (7, 14), (12, 16), (14, 7)])
def test_windows_of_every_transfer_equal_an_independent_computation(source, target):
    """6 to 7 and 12 to 14 between pre-training and fine-tuning, then 14 to 7 and to 20 for dense tasks."""
    planes = np.random.default_rng(0).normal(size=(2, 2 * source - 1, 2 * source - 1))
    table = torch.from_numpy(planes.reshape(2, -1).T.copy())
    fitted = resize_table(table, (source,) * 2, (target,) * 2).T.reshape(2, 2 * target - 1, -1)
    expected = np.stack([_resized_independently(plane, source, target) for plane in planes])
    np.testing.assert_allclose(
        fitted, expected, rtol=0, atol=5e-4
    )  # the released search stops within 1e-6 of the ratio


@pytest.mark.parametrize("source, target", [(7, 20), (14, 20), (7, 14), (12, 16)])
def test_what_falls_with_distance_still_does(source, target):
    offsets = torch.arange(1 - source, source).double()
    table = (-(offsets[:, None] ** 2 + offsets**2).sqrt() / source).reshape(-1, 1)
    fitted = resize_table(table, (source,) * 2, (target,) * 2).view(2 * target - 1, -1)
    along_middle, along_edge = fitted[target - 1, target - 1 :], fitted[0, target - 1 :]
    assert (along_middle.diff() < 0).all() and (along_edge.diff() < 0).all()
    torch.testing.assert_close(fitted, fitted.T, rtol=0, atol=1e-6)
    torch.testing.assert_close(fitted, fitted.flip(0, 1), rtol=0, atol=1e-6)
    assert fitted.max() == fitted[target - 1, target - 1]


def test_class_token_rows_are_kept():
    table = torch.randn(7 * 7 + 3, 2)
    fitted = resize_table(table, (4, 4), (6, 6), extra=3)
    assert fitted.shape == (11 * 11 + 3, 2)
    assert torch.equal(fitted[-3:], table[-3:])
    assert torch.equal(fitted[:-3], resize_table(table[:-3], (4, 4), (6, 6)))


def test_axes_are_independent():
    column = torch.randn(9, 1, 2)
    table = column.expand(9, 7, 2).reshape(63, 2)  # varies along rows only: 5 x 4 tokens
    fitted = resize_table(table, (5, 4), (5, 8)).view(9, 15, 2)
    torch.testing.assert_close(fitted, column.expand(9, 15, 2), rtol=0, atol=1e-5)


@pytest.mark.parametrize("window", [1, 2, 3])
def test_tiny_windows_can_grow(window):
    table = torch.full(((2 * window - 1) ** 2, 3), 0.7)
    torch.testing.assert_close(resize_table(table, (window,) * 2, (5, 5)), torch.full((81, 3), 0.7))


def test_a_table_of_another_grid_is_refused():
    with pytest.raises(ValueError, match="81 rows does not belong to 4 x 4"):
        resize_table(torch.zeros(81, 2), (4, 4), (6, 6))
    with pytest.raises(ValueError, match="no square window"):
        square_side(63)
