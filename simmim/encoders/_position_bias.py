"""Relative position tables at another window or grid: geometric placement and cubic splines, as released.

A table holds one row per relative offset, [(2 h - 1) * (2 w - 1) + extra, heads], row-major in (row, column offset).
Source: Bao et al., BEiT (2106.08254), as taken over by the released SimMIM code.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

TABLE = "relative_position_bias_table"  # how the names of its parameters end
CLASS_ROWS = 3  # of BEiT's tables: class to token, token to class, class to class
_RATIO_RANGE = 1.01, 1.5
_RATIO_TOLERANCE = 1e-6


def resize_table(table: Tensor, source: tuple[int, int], target: tuple[int, int], extra: int = 0) -> Tensor:
    """Fit a relative position table of `source` (rows, columns of tokens) to `target`.

    Args:
        table: [(2 h - 1) * (2 w - 1) + extra, heads].
        extra: rows at the end that belong to the class token and are kept as they are.

    Returns:
        The same table where the sizes agree, otherwise a new one of the target's length and the table's dtype.
    """
    if tuple(source) == tuple(target):
        return table
    rows, columns = (2 * size - 1 for size in source)
    if len(table) != rows * columns + extra:
        raise ValueError(f"a position table of {len(table)} rows does not belong to {source[0]} x {source[1]} tokens")
    offsets, kept = table[: rows * columns], table[rows * columns :]
    planes = offsets.detach().double().cpu().numpy().T.reshape(-1, rows, columns)  # [heads, rows, columns]
    placed = [placement(have, 2 * want - 1) for have, want in zip((rows, columns), target)]
    fitted = np.stack([_resample(plane, *placed) for plane in planes])  # [heads, rows', columns']
    fitted = torch.from_numpy(fitted.reshape(len(planes), -1).T.copy()).to(table)  # [rows' * columns', heads]
    return torch.cat([fitted, kept])


def square_side(length: int, extra: int = 0) -> int:
    """Window of a square table with this many rows."""
    side = math.isqrt(length - extra)
    if side * side != length - extra or side % 2 == 0:
        raise ValueError(f"a position table of {length} rows belongs to no square window; say which grid it comes from")
    return (side + 1) // 2


def placement(source: int, target: int) -> tuple[np.ndarray, np.ndarray]:
    """Where `source` old and `target` new offsets lie on one axis, in units of the new offsets.

    The old ones are put at 0, +-1, +-(1 + q), +-(1 + q + q^2), ...: dense in the middle, the outermost at the edge
    of the new range. The search for q stops at its bracket, so extreme changes do not reach the edge.
    """
    new = np.arange(target) - target // 2
    if source == target:
        return new.astype(float), new.astype(float)
    half, reach = source // 2, target // 2
    low, high = _RATIO_RANGE
    while high - low > _RATIO_TOLERANCE:
        ratio = (low + high) / 2
        low, high = (low, ratio) if (1 - ratio**half) / (1 - ratio) > reach else (ratio, high)
    positive = np.cumsum(ratio ** np.arange(half))
    return np.concatenate([-positive[::-1], [0.0], positive]), new.astype(float)


def _resample(plane: np.ndarray, rows: tuple, columns: tuple) -> np.ndarray:
    """Evaluate one [rows, columns] plane at new positions; offsets outside the old range take the edge value."""
    from scipy.interpolate import RectBivariateSpline  # half a second that most jobs need not wait for

    for axis, (old, _) in enumerate((rows, columns)):
        if len(old) == 1:  # a window of one token has a single value: constant along this axis
            plane = np.repeat(plane, 2, axis=axis)
    old_rows, old_columns = (np.array([0.0, 1.0]) if len(old) == 1 else old for old, _ in (rows, columns))
    # A window of two has three offsets, too few for a cubic: the released loader fails there, here it is a parabola.
    degrees = [min(3, len(old) - 1) for old in (old_rows, old_columns)]
    return RectBivariateSpline(old_rows, old_columns, plane, kx=degrees[0], ky=degrees[1], s=0)(rows[1], columns[1])
