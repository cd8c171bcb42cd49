"""One look for every figure: palette, type and lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from statistics import fmean

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from simmim.report.status import NOT_RUN

INK, MUTED, HAIRLINE = "#1d2430", "#687180", "#dfe3e8"
SCRATCH = "#8b929c"
OTHERS = "#b9c0ca"  # of runs that are too many for a colour each
REFERENCE, REFERENCE_TINT = "#1f6fb2", "#eaf1f8"
# Told apart with any common colour blindness and in grey; the reference run keeps its blue everywhere.
_OTHERS = ("#d9730d", "#1a936f", "#8d4bab", "#b8336a", "#7a6a00", "#2b8ca3", "#a3522b")
_DPI = 160
_TYPE = {"font.family": "DejaVu Sans", "font.size": 9, "text.color": INK}
_TITLES = {
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
}
_AXES = {
    "axes.labelsize": 9,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": HAIRLINE,
    "grid.linewidth": 0.8,
}
_TICKS = {
    f"{axis}tick.{key}": value
    for axis in "xy"
    for key, value in {"color": MUTED, "labelsize": 8.5, "major.size": 3}.items()
}
_LOOK = {"figure.dpi": _DPI, "savefig.dpi": _DPI, "figure.facecolor": "white", **_TYPE, **_TITLES, **_AXES, **_TICKS}


def colours(names: Iterable[str], reference: str) -> dict[str, str]:
    """A colour per name by its place, so that a run looks the same in every figure; the reference has its own."""
    others = [name for name in names if name != reference]
    return {reference: REFERENCE} | {name: _OTHERS[i % len(_OTHERS)] for i, name in enumerate(others)}


@contextmanager
def look() -> Iterator[None]:
    """Fonts, colours and lines of every figure; closes what was opened inside."""
    before = set(plt.get_fignums())
    with sns.axes_style("white"), plt.rc_context(_LOOK):
        try:
            yield
        finally:
            for number in set(plt.get_fignums()) - before:
                plt.close(number)


def say_not_run(axis: Axes) -> None:
    """Write into an empty panel that nothing of it was run."""
    say(axis, NOT_RUN)


def say(axis: Axes, words: str) -> None:
    """Write into an empty panel why it is empty."""
    axis.text(0.5, 0.5, words, transform=axis.transAxes, ha="center", va="center", **NOT_RUN_TEXT)
    axis.set(xticks=[], yticks=[])


def not_run() -> Figure:
    """A figure of one panel, of which nothing was run."""
    figure, axis = plt.subplots(figsize=(6.4, 1.2))
    say_not_run(axis)
    return figure


NOT_RUN_TEXT = {"fontsize": 8, "color": MUTED, "style": "italic"}


def spread_labels(heights: Sequence[float], gap: float) -> list[float]:
    """Heights for labels at the end of lines: moved apart where two would overlap, by no more than it takes."""
    order = sorted(range(len(heights)), key=lambda i: heights[i])
    groups: list[list[float]] = []  # labels that push each other: their heights, each less its gaps to the lowest label
    for place, i in enumerate(order):
        groups.append([heights[i] - place * gap])
        while len(groups) > 1 and fmean(groups[-2]) > fmean(groups[-1]):
            groups[-2:] = [groups[-2] + groups[-1]]
    levels = [fmean(group) for group in groups for _ in group]
    placed = {i: level + place * gap for place, (i, level) in enumerate(zip(order, levels))}
    return [placed[i] for i in range(len(heights))]
