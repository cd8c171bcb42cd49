import numpy as np
import pytest
import torch
from official import case, tensors

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
