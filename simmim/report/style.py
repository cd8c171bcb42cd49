"""One look for every figure: palette, type, and how a figure is saved with its caption inside."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import seaborn as sns
from matplotlib.figure import Figure
from PIL import Image

from simmim.report.names import REFERENCE_RUN
from simmim.storage.files import whole_file

INK, MUTED, HAIRLINE = "#1d2430", "#687180", "#dfe3e8"
SCRATCH = "#8b929c"
_REFERENCE = "#1f6fb2"
# Told apart with any common colour blindness and in grey; the reference run keeps its blue everywhere.
_OTHERS = ("#d9730d", "#1a936f", "#8d4bab", "#b8336a", "#7a6a00", "#2b8ca3", "#a3522b")
_DPI = 160


def colours(runs: Sequence[str]) -> dict[str, str]:
    """A colour per pre-trained run, by its place in the sheet, so that a run looks the same in every figure."""
    others = [run for run in runs if run != REFERENCE_RUN]
    return {REFERENCE_RUN: _REFERENCE} | {run: _OTHERS[i % len(_OTHERS)] for i, run in enumerate(others)}


@contextmanager
def look() -> Iterator[None]:
    """Fonts, colours and lines of every figure; closes what was opened inside."""
    settings = {
        "figure.dpi": _DPI, "savefig.dpi": _DPI, "figure.facecolor": "white",
        "font.family": "DejaVu Sans", "font.size": 9, "text.color": INK,
        "axes.titlesize": 10, "axes.titleweight": "bold", "axes.titlelocation": "left", "axes.titlepad": 10,
        "axes.labelsize": 9, "axes.labelcolor": MUTED, "axes.edgecolor": MUTED, "axes.linewidth": 0.8,
        "axes.spines.top": False, "axes.spines.right": False, "grid.color": HAIRLINE, "grid.linewidth": 0.8,
        "xtick.color": MUTED, "ytick.color": MUTED, "xtick.labelsize": 8.5, "ytick.labelsize": 8.5,
        "xtick.major.size": 3, "ytick.major.size": 3,
    }  # fmt: skip
    before = set(plt.get_fignums())
    with sns.axes_style("white"), plt.rc_context(settings):
        try:
            yield
        finally:
            for number in set(plt.get_fignums()) - before:
                plt.close(number)


def save(figure: Figure, path: Path, title: str, caption: str) -> None:
    """Write a PNG that carries its own title and caption, for the page to print beside it."""
    with whole_file(path) as temporary:
        metadata = {"Title": title, "Description": caption, "Software": "simmim"}
        figure.savefig(temporary, format="png", bbox_inches="tight", pad_inches=0.15, metadata=metadata)


def caption_of(path: Path) -> tuple[str, str]:
    """Title and caption that `save` put into a PNG."""
    with Image.open(path) as image:
        image.load()
        return image.text["Title"], image.text["Description"]


def width_px(path: Path) -> int:
    """Width of an image file."""
    with Image.open(path) as image:
        return image.width


def spread_labels(heights: Sequence[float], gap: float) -> list[float]:
    """Heights for labels at the end of lines: as given, moved apart where two would overlap."""
    order = sorted(range(len(heights)), key=lambda i: heights[i])
    placed = list(heights)
    for lower, upper in itertools.pairwise(order):
        placed[upper] = max(placed[upper], placed[lower] + gap)
    excess = sum(placed) / len(placed) - sum(heights) / len(heights) if placed else 0
    return [height - excess for height in placed]
