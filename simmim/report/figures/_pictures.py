"""Stored reconstructions of validation images, and pictures in lines and columns (Figures 1, 4, 5 and 6)."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from simmim.report.status import NOT_RUN
from simmim.report.style import INK, say

OWN_MASK = "own"  # the mask that a run was trained with, as reconstruction files call it
RECONSTRUCTED = "Reconstructed: the prediction where the image is hidden, the image where it is visible. Grey: hidden."
HIDDEN_GREY = 214
BLANK = np.full((2, 2, 3), 255, dtype=np.uint8)
_EMPTY = np.full((2, 2, 3), 244, dtype=np.uint8)
_IMAGES = 4
_INCHES = 1.35


class Panels(NamedTuple):
    """One image in four states, uint8 [H, W, 3] each."""

    image: np.ndarray
    masked: np.ndarray
    prediction: np.ndarray
    reconstructed: np.ndarray


class Pictures:
    """Stored reconstructions of some runs, of each run those of its first seed.

    Args:
        rows: as `Results.pictures` reads them.
    """

    def __init__(self, rows: pd.DataFrame) -> None:
        self.rows = rows[rows["seed"] == rows.groupby("run")["seed"].transform("min")]

    def samples(self, count: int = _IMAGES, region: str = "") -> list[str]:
        """Some of the stored images, evenly spread; if asked, of those whose drawn masks hide such a region."""
        rows = self.rows[self.rows["region"] == region] if region else self.rows
        names = list(dict.fromkeys(rows["sample_id"]))
        return [names[i] for i in np.unique(np.linspace(0, len(names) - 1, count).astype(int))]

    def image(self, sample: str) -> np.ndarray:
        """An image without a mask."""
        return panels(*_stored(self.rows[self.rows["sample_id"] == sample])).image

    def of(self, run: str, sample: str, mask: str = OWN_MASK) -> Panels | None:
        """What a run makes of an image under a mask, None where nothing is stored."""
        found = self._of(run, sample, mask)
        return panels(*_stored(found)) if len(found) else None

    def shares(self, run: str, samples: Sequence[str]) -> list[float]:
        """How much of its region the mask "most" hides in some images, of those that it fits."""
        most, everything = ([self._of(run, sample, mask) for sample in samples] for mask in ("most", "all"))
        return [_hidden_px(part) / _hidden_px(whole) for part, whole in zip(most, everything) if len(part)]

    def _of(self, run: str, sample: str, mask: str) -> pd.DataFrame:
        rows = self.rows
        return rows[(rows["run"] == run) & (rows["mask"] == mask) & (rows["sample_id"] == sample)]

    def origin(self) -> str:
        """Where the pictures come from, for a caption."""
        runs = self.rows[["run", "seed", "step", "config_hash"]].drop_duplicates().itertuples(index=False)
        words = "; ".join(f"run {run}, seed {seed}, {step} steps (config {config})" for run, seed, step, config in runs)
        return f"Validation images with fixed masks, not picked by result: {words}."


def panels(image: bytes, hidden: bytes, prediction: bytes) -> Panels:
    """The four states of an image, from its PNG, that of its mask and that of the prediction."""
    pixels, guess, mask = opened(image), opened(prediction), opened_mask(hidden)[:, :, None]  # [H, W, 1]
    return Panels(pixels, hide(pixels, mask), guess, np.where(mask, guess, pixels))


def opened(png: bytes) -> np.ndarray:
    """Pixels of a PNG, uint8 [H, W, 3]."""
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def opened_mask(png: bytes) -> np.ndarray:
    """Hidden pixels of a stored mask, bool [H, W]."""
    return np.asarray(Image.open(io.BytesIO(png)).convert("L")) > 127


def hide(pixels: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """An image with its hidden pixels in grey."""
    return np.where(mask, np.uint8(HIDDEN_GREY), pixels)


def grid(
    lines: Sequence[Sequence[np.ndarray | str | None]], headings: Sequence[str], names: Sequence[str] = ()
) -> Figure:
    """Pictures in lines and columns; words stand in the place of a picture, None for one that was not run.

    Args:
        names: what is left of each line; nothing by default.
    """
    size = (_INCHES * len(headings), _INCHES * len(lines))
    whole = {"left": 0, "right": 1, "bottom": 0, "top": 1, "wspace": 0.05, "hspace": 0.05}
    figure, axes = plt.subplots(len(lines), len(headings), figsize=size, squeeze=False, gridspec_kw=whole)
    for line, row_of_axes in zip(lines, axes):
        for picture, axis in zip(line, row_of_axes):
            axis.axis("off")
            is_empty = picture is None or isinstance(picture, str)
            axis.imshow(_EMPTY if is_empty else picture, interpolation="nearest")
            if is_empty:
                say(axis, picture or NOT_RUN)
    for name, axis in zip(names, axes[:, 0]):
        place = {"transform": axis.transAxes, "rotation": 90, "ha": "right", "va": "center"}
        axis.text(-0.04, 0.5, name, fontsize=8, color=INK, **place)
    for heading, axis in zip(headings, axes[0]):
        axis.set_title(heading, fontsize=8, color=INK, weight="normal", loc="center", pad=4)
    return figure


def _hidden_px(rows: pd.DataFrame) -> int:
    return int(opened_mask(rows.iloc[0]["hidden"]).sum())


def _stored(rows: pd.DataFrame) -> tuple[bytes, bytes, bytes]:
    return tuple(rows.iloc[0][["image", "hidden", "prediction"]])
