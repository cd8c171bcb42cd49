"""What a model makes of masked images it has never seen (Figures 4 to 6 of the paper)."""

from __future__ import annotations

import io
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from matplotlib.figure import Figure
from PIL import Image

from simmim.report.style import INK, MUTED

_COLUMNS = ("input", "masked input", "prediction", "pasted together")
_HIDDEN_GREY = 214
_INCHES = 1.7


def reconstructions(inputs: list[Path], scale: str) -> tuple[Figure, str, str]:
    """Images under one another, in two columns of blocks; of each run the first seed is shown.

    Returns:
        figure, title and caption.
    """
    rows = pd.concat([read_reconstructions(path, scale) for path in inputs], ignore_index=True)
    rows = rows[(rows["seed"] == rows.groupby("run")["seed"].transform("min")) & (rows["mask"] == "own")]
    blocks = 2 if len(rows) > 4 else 1
    height = -(-len(rows) // blocks)
    widths = ([1.0] * 4 + [0.18]) * blocks
    figure, axes = plt.subplots(
        height, len(widths[:-1]), figsize=(_INCHES * sum(widths[:-1]), _INCHES * height), squeeze=False,
        width_ratios=widths[:-1], gridspec_kw={"wspace": 0.04, "hspace": 0.04},
    )  # fmt: skip
    for axis in axes.flat:
        axis.axis("off")
    for place, row in enumerate(rows.to_dict("records")):
        block, line = divmod(place, height)
        for column, pixels in enumerate(panels(row["image"], row["hidden"], row["prediction"])):
            axes[line, block * 5 + column].imshow(pixels, interpolation="nearest")
    for block in range(blocks):
        for column, words in enumerate(_COLUMNS):
            axes[0, block * 5 + column].set_title(words, fontsize=9, color=INK, weight="normal", loc="center", pad=5)
    _name_runs(rows, axes, height)
    return figure, "Reconstructions of held-out images", _caption(rows)


def panels(image: bytes, hidden: bytes, prediction: bytes) -> list[np.ndarray]:
    """Input, masked input, prediction, and prediction pasted into the visible part: four uint8 [H, W, 3]."""
    pixels, guess = (np.asarray(Image.open(io.BytesIO(png)).convert("RGB")) for png in (image, prediction))
    mask = np.asarray(Image.open(io.BytesIO(hidden)).convert("L"))[:, :, None] > 127  # [H, W, 1]
    masked = np.where(mask, np.uint8(_HIDDEN_GREY), pixels)
    return [pixels, masked, guess, np.where(mask, guess, pixels)]


def _name_runs(rows: pd.DataFrame, axes: np.ndarray, height: int) -> None:
    """Write the run beside its images where there are several."""
    if rows["run"].nunique() == 1:
        return
    for place, run in enumerate(rows["run"]):
        block, line = divmod(place, height)
        axis = axes[line, block * 5]
        axis.text(-0.06, 0.5, run, rotation=90, ha="right", va="center", fontsize=8, color=MUTED,
                  transform=axis.transAxes)  # fmt: skip


def read_reconstructions(path: Path, scale: str) -> pd.DataFrame:
    """Stored images, masks and predictions of one run and seed.

    Raises:
        ValueError: when they are of another scale.
    """
    rows = pq.read_table(path, page_checksum_verification=True, partitioning=None).to_pandas()
    if set(rows["scale"]) - {scale}:
        raise ValueError(f"{path} is of scale {sorted(set(rows['scale']))}, not '{scale}'")
    return rows


def _caption(rows: pd.DataFrame) -> str:
    runs = "; ".join(
        f"run {run}, seed {seed}, after {step} steps (config {config})"
        for run, seed, step, config in rows[["run", "seed", "step", "config_hash"]]
        .drop_duplicates()
        .itertuples(index=False)
    )
    return (
        f"{rows['sample_id'].nunique()} images of the held-out part with fixed masks, not picked by result: {runs}. "
        "Grey: hidden from the encoder. Pasted together: the prediction where the image is hidden, the image where it "
        "is visible. A run whose loss is taken on the masked area is never asked for the visible pixels of its "
        "prediction."
    )
