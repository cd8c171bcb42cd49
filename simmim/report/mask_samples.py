"""Figure 2: held-out images under each kind of mask at one ratio."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from simmim.report.style import HAIRLINE, INK, MUTED

_HIDDEN_GREY = 214
_INCHES = 1.65


def mask_samples(inputs: list[Path], scale: str) -> tuple[Figure, str, str]:
    """A column for each kind of mask, a row for each image; figure, title and caption."""
    rows = pd.concat([_read(path, scale) for path in inputs], ignore_index=True)
    kinds, images = list(dict.fromkeys(rows["kind"])), list(dict.fromkeys(rows["sample_id"]))
    figure, axes = plt.subplots(
        len(images), len(kinds), figsize=(_INCHES * len(kinds), _INCHES * len(images)), squeeze=False,
        gridspec_kw={"wspace": 0.04, "hspace": 0.04},
    )  # fmt: skip
    for column, kind in zip(axes.T, kinds):
        mine = rows[rows["kind"] == kind].to_dict("records")
        for axis, row in zip(column, mine):
            _panel(axis, row)
        column[0].set_title(_heading(mine[0], scale), fontsize=8.5, color=INK, weight="normal", loc="center", pad=5)
    return figure, f"Figure 2: masks at a ratio of {rows['ratio'].iloc[0]}", _caption(rows)


def _panel(axis: Axes, row: dict[str, Any]) -> None:
    """The image with its hidden part in grey, or why there is none."""
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set(visible=True, color=HAIRLINE, linewidth=0.8)
    image = np.asarray(Image.open(io.BytesIO(row["image"])).convert("RGB"))
    if row["hidden"]:
        axis.imshow(np.where(_area(row)[:, :, None], np.uint8(_HIDDEN_GREY), image), interpolation="nearest")
    else:
        axis.imshow(np.full_like(image, 255))
        axis.text(0.5, 0.5, "does not fit\nthis scale", transform=axis.transAxes, ha="center", va="center", color=MUTED,
                  fontsize=8, style="italic")  # fmt: skip


def _area(row: dict[str, Any]) -> np.ndarray:
    """Hidden pixels, bool [H, W]."""
    return np.asarray(Image.open(io.BytesIO(row["hidden"])).convert("L")) > 127


def _heading(row: dict[str, Any], scale: str) -> str:
    if not row["hidden"]:
        return f"{row['kind']}\n"
    here = f"here {row['masked_patch_px']:.0f} px, " if scale != "paper" else ""
    return f"{row['kind']}\n{here}{100 * _area(row).mean():.0f} %"


def _read(path: Path, scale: str) -> pd.DataFrame:
    rows = pq.read_table(path, page_checksum_verification=True, partitioning=None).to_pandas()
    if set(rows["scale"]) - {scale}:
        raise ValueError(f"{path} is of scale {sorted(set(rows['scale']))}, not '{scale}'")
    return rows


def _caption(rows: pd.DataFrame) -> str:
    return (
        f"{rows['sample_id'].nunique()} held-out images, not picked, under masks drawn for them. Grey: hidden from the "
        "encoder. Named by kind of mask and by the side of the masked patch in the paper. The share that is hidden "
        "differs a little from the ratio: counts are rounded up to whole patches, the square to a whole side of tokens."
    )
