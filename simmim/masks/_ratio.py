"""What every mask with a ratio shares: the check of the ratio, and how many cells it hides."""

from __future__ import annotations

import math
from numbers import Real


def check_ratio(ratio: float) -> None:
    """Refuse a share of cells that is not inside (0, 1), with the value and the nearest valid one."""
    if not isinstance(ratio, Real) or not 0 < ratio < 1:
        nearest = f"; nearest: {0.99 if ratio >= 1 else 0.01}" if isinstance(ratio, Real) else ""
        raise ValueError(f"mask.ratio {ratio} must lie inside (0, 1){nearest}")


def hidden_cells(ratio: float, cells: int) -> int:
    """`ceil(ratio * cells)`, as in the released code: 0.6 of 36 cells hides 22.

    Raises:
        ValueError: for a ratio that hides all of them, with the largest one that does not.
    """
    hidden = math.ceil(cells * ratio)
    if hidden >= cells:
        largest = f"at most {math.floor(1000 * (cells - 1) / cells) / 1000:g}" if cells > 1 else "smaller cells"
        raise ValueError(f"mask.ratio {ratio} hides all {cells} cells of an image, and one must be visible: {largest}")
    return hidden
