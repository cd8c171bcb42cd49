"""Figures 1, 4, 5 and 6 of the paper from stored reconstructions: the framework, and what is recovered under what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from simmim.report.names import RECOVERIES, REFERENCE_RUN
from simmim.report.reconstructions import panels, read_reconstructions
from simmim.report.style import INK, MUTED

# As simmim.reconstruction stores them: the mask of the training, and two drawn by hand.
_OWN = "own"
_DRAWN = {"most of the object": "most of object", "all of the object": "all of object"}
_IMAGES = 4
_INCHES = 1.35
_NOT_RUN_GREY = 244

Drawn = tuple[Figure, str, str]


def framework(inputs: list[Path], scale: str) -> Drawn:
    """Figure 1: one image on its way through masking, encoder, head and loss."""
    rows = _first_seeds(inputs, scale)
    row = rows[(rows["run"] == REFERENCE_RUN) & (rows["mask"] == _OWN)].iloc[0]
    image, masked, prediction, _ = panels(row["image"], row["hidden"], row["prediction"])
    figure, axis = plt.subplots(figsize=(9.4, 2.0))
    axis.set(xlim=(0, 9.4), ylim=(0.6, 2.6))
    axis.axis("off")
    _picture(axis, masked, (0.1, 1.0), "masked image")
    _picture(axis, prediction, (5.3, 1.0), "prediction")
    _picture(axis, image, (7.8, 1.0), "target: raw pixels")
    _box(axis, (2.2, 1.2), 1.2, 1.1, "encoder\n(ViT, Swin, …)")
    _box(axis, (3.95, 1.4), 0.95, 0.7, "one-layer\nhead")
    for start, end in ((1.65, 2.15), (3.45, 3.9), (4.95, 5.25)):
        _arrow(axis, (start, 1.75), (end, 1.75))
    _arrow(axis, (6.85, 1.75), (7.75, 1.75), both=True)
    axis.text(7.3, 1.9, "$\\ell_1$ loss", ha="center", va="bottom", fontsize=9, color=INK)
    axis.text(7.3, 1.6, "on hidden\npatches", ha="center", va="top", fontsize=7.5, color=MUTED)
    caption = (
        "Patches of the image are replaced by a learnt mask token, an encoder sees the rest, a single linear layer "
        f"predicts the raw pixels, and the l1 loss is taken on hidden patches only. {_origin(rows)}"
    )
    return figure, "Figure 1: the framework", caption


def mask_types(inputs: list[Path], scale: str) -> Drawn:
    """Figure 4: one model under random masking, with most of an object hidden, and with all of it hidden."""
    rows = _first_seeds(inputs, scale)
    kinds = _OWN, *_DRAWN
    words = {_OWN: "random"} | _DRAWN
    columns = ["image", *(f"{words[kind]}{part}" for kind in kinds for part in (", masked", ", recovered"))]
    lines = [
        [_input(rows, sample)] + [panel for kind in kinds for panel in _pair(rows, REFERENCE_RUN, kind, sample)]
        for sample in _samples(rows)
    ]
    caption = (
        "Recovered images under three masks: random, most of an object, all of an object. The regions are drawn by "
        f"hand where config/drawn_masks.tsv names the image, and a central box elsewhere. {_PASTED} {_origin(rows)}"
    )
    return _grid(lines, columns), "Figure 4: recovery under different masks", caption


def loss_areas(inputs: list[Path], scale: str) -> Drawn:
    """Figure 5: the loss on hidden patches only against the loss on the full image."""
    rows = _first_seeds(inputs, scale)
    lines = []
    for sample in _samples(rows):
        shown = [_panels(rows, run, _OWN, sample) for run in RECOVERIES["figure5"]]
        masked = next((each[1] for each in shown if each), None)
        lines.append([_input(rows, sample), masked, *(each[2] if each else None for each in shown)])
    columns = ["image", "masked", "loss on, masked area", "loss on, full image"]
    caption = (
        "The whole prediction of two models under the same masks. The one trained on the masked area is never asked "
        f"for visible pixels, so its visible parts are not meant to match. {_origin(rows)}"
    )
    return _grid(lines, columns), "Figure 5: predicting hidden patches only, or the full image", caption


def patch_sizes(inputs: list[Path], scale: str, words: Mapping[str, str]) -> Drawn:
    """Figure 6: models trained with masked patches of different sizes, each under masks of its own.

    Args:
        words: run to what is written above its column.
    """
    rows = _first_seeds(inputs, scale)
    lines = []
    for sample in _samples(rows)[:2]:
        pairs = [_pair(rows, run, _OWN, sample) for run in RECOVERIES["figure6"]]
        lines.append([_input(rows, sample), *(masked for masked, _ in pairs)])
        lines.append([_BLANK, *(recovered for _, recovered in pairs)])
    columns = ["image", *(words[run] for run in RECOVERIES["figure6"])]
    caption = f"Masked above, recovered below; mask ratio 0.6. {_PASTED} {_origin(rows)}"
    return _grid(lines, columns), "Figure 6: recovery with different masked patch sizes", caption


_PASTED = "Recovered: the prediction where the image is hidden, the image where it is visible. Grey: hidden."
_BLANK = np.full((2, 2, 3), 255, dtype=np.uint8)


def _first_seeds(inputs: list[Path], scale: str) -> pd.DataFrame:
    rows = pd.concat([read_reconstructions(path, scale) for path in inputs], ignore_index=True)
    return rows[rows["seed"] == rows.groupby("run")["seed"].transform("min")]


def _samples(rows: pd.DataFrame) -> list[str]:
    """Some of the stored images, evenly spread."""
    names = list(dict.fromkeys(rows["sample_id"]))
    return [names[i] for i in np.unique(np.linspace(0, len(names) - 1, _IMAGES).astype(int))]


def _panels(rows: pd.DataFrame, run: str, mask: str, sample: str) -> list[np.ndarray] | None:
    found = rows[(rows["run"] == run) & (rows["mask"] == mask) & (rows["sample_id"] == sample)]
    return panels(*found.iloc[0][["image", "hidden", "prediction"]]) if len(found) else None


def _pair(rows: pd.DataFrame, run: str, mask: str, sample: str) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Masked image and recovered image, None where the run has no picture of this mask."""
    shown = _panels(rows, run, mask, sample)
    return (shown[1], shown[3]) if shown else (None, None)


def _input(rows: pd.DataFrame, sample: str) -> np.ndarray:
    row = rows[rows["sample_id"] == sample].iloc[0]
    return panels(row["image"], row["hidden"], row["prediction"])[0]


def _grid(lines: Sequence[Sequence[np.ndarray | None]], columns: Sequence[str]) -> Figure:
    """Pictures in lines and columns; what was not run says so."""
    size = (_INCHES * len(columns), _INCHES * len(lines))
    whole = {"left": 0, "right": 1, "bottom": 0, "top": 1, "wspace": 0.05, "hspace": 0.05}
    figure, axes = plt.subplots(len(lines), len(columns), figsize=size, squeeze=False, gridspec_kw=whole)
    for line, row_of_axes in zip(lines, axes):
        for picture, axis in zip(line, row_of_axes):
            axis.axis("off")
            if picture is None:
                axis.imshow(np.full((2, 2, 3), _NOT_RUN_GREY, dtype=np.uint8))
                axis.text(0.5, 0.5, "not run", transform=axis.transAxes, ha="center", va="center", fontsize=8,
                          color=MUTED, style="italic")  # fmt: skip
            else:
                axis.imshow(picture, interpolation="nearest")
    for words, axis in zip(columns, axes[0]):
        axis.set_title(words.replace(", ", "\n"), fontsize=8, color=INK, weight="normal", loc="center", pad=4)
    return figure


def _picture(axis: Axes, pixels: np.ndarray, corner: tuple[float, float], words: str) -> None:
    left, bottom = corner
    axis.imshow(pixels, extent=(left, left + 1.5, bottom, bottom + 1.5), interpolation="nearest", aspect="auto")
    axis.text(left + 0.75, bottom - 0.12, words, ha="center", va="top", fontsize=8.5, color=MUTED)


def _box(axis: Axes, corner: tuple[float, float], width: float, height: float, words: str) -> None:
    axis.add_patch(FancyBboxPatch(corner, width, height, boxstyle="round,pad=0,rounding_size=0.08", fc="#eaf1f8",
                                  ec="#1f6fb2", lw=1.1))  # fmt: skip
    axis.text(corner[0] + width / 2, corner[1] + height / 2, words, ha="center", va="center", fontsize=8.5, color=INK)


def _arrow(axis: Axes, start: tuple[float, float], end: tuple[float, float], both: bool = False) -> None:
    style = {"arrowstyle": "<->" if both else "->", "color": MUTED, "lw": 1.2}
    axis.annotate("", xy=end, xytext=start, arrowprops=style)


def _origin(rows: pd.DataFrame) -> str:
    runs = rows[["run", "seed", "step", "config_hash"]].drop_duplicates().itertuples(index=False)
    words = "; ".join(f"run {run}, seed {seed}, {step} steps (config {config})" for run, seed, step, config in runs)
    return f"Held-out images with fixed masks, not picked by result: {words}."
