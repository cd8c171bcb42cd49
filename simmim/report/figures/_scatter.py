"""Panels of Figures 3 and 7: the paper's points hollow, ours filled, every mask with its own colour and marker."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from simmim.report.avg_dist_points import Point
from simmim.report.measurements import ENOUGH_FOR_A_MEAN
from simmim.report.scale_facts import MaskName, ScaleFacts
from simmim.report.style import MUTED, colours, say_not_run

_MARKERS = {"random": "o", "square": "s", "block-wise": "D"}
_WORDS = {"paper": "the paper", "ours": "ours"}

Styles = dict[MaskName, dict[str, Any]]


def lines_of_panels(scale: str) -> list[tuple[str, ...]]:
    """Whose points share a line of panels: at another scale than the paper's neither axis is the same quantity."""
    return [("paper", "ours")] if scale == "paper" else [("paper",), ("ours",)]


def whose(sources: Sequence[str]) -> str:
    """'the paper and ours'."""
    return " and ".join(_WORDS[source] for source in sources)


def styles_of(points: Iterable[Point], facts: ScaleFacts) -> Styles:
    """Colour and marker of every mask; that of the reference run has the colour that the run has everywhere."""
    masks = list(dict.fromkeys(point.mask for point in points))
    palette = colours(masks, facts.masks.get(facts.reference))
    return {mask: {"color": palette[mask], "marker": _MARKERS.get(mask.kind, "^")} for mask in masks}


def draw_points(axis: Axes, points: list[Point], sources: Sequence[str], styles: Styles, joined: bool = False) -> None:
    """Marks of some sources, those of one mask joined by a line if asked."""
    shown = [point for point in points if point.source in sources]
    for source, mask in dict.fromkeys((point.source, point.mask) for point in shown):
        mine = sorted(point for point in shown if (point.source, point.mask) == (source, mask))
        _draw_mask(axis, mine, source, styles[mask], joined)
    if not shown:
        say_not_run(axis)
    axis.margins(0.08)
    axis.grid(axis="y")
    axis.set_axisbelow(True)


def add_legend(place: Figure | Axes, points: Iterable[Point], styles: Styles) -> None:
    """The paper's marks and ours, then every mask that is drawn; below a figure, or in a panel without points."""
    drawn = {point.mask for point in points}
    grey = {"color": MUTED, "marker": "o"}
    entries = [(grey, source, words) for source, words in _WORDS.items()]
    entries += [(style, "ours", mask.label) for mask, style in styles.items() if mask in drawn]
    handles = [Line2D([], [], ls="", label=label, **_face(style, source)) for style, source, label in entries]
    where = {"loc": "outside lower center", "ncols": 4} if isinstance(place, Figure) else {"loc": "center", "ncols": 2}
    place.legend(handles=handles, frameon=False, fontsize=8, **where)


def avg_dist_label(sources: Sequence[str], scale: str) -> str:
    """Label of the axis of AvgDist."""
    return "AvgDist (px of a 192-px image)" if "paper" in sources else f"AvgDist (px at {scale} scale)"


def told_apart(scale: str) -> str:
    """How the paper's points are told from ours, for a caption."""
    words = "Hollow: the paper's, read off its figure. Filled: measured here."
    if scale == "paper":
        return words
    return f"{words} Image, tokens and data are not the paper's at this scale, hence axes of their own."


def ours_words(points: Iterable[Point]) -> str:
    """What our marks are, for a caption."""
    if not any(point.source == "ours" for point in points):
        return "No run of ours is drawn: not run."
    bars = (
        f"mean ± standard deviation where there are at least {ENOUGH_FOR_A_MEAN} pre-trainings, otherwise each of them"
    )
    return f"Ours: {bars}. Vertical axes of scores do not begin at zero."


def _draw_mask(axis: Axes, points: list[Point], source: str, style: dict[str, Any], joined: bool) -> None:
    """Marks of one mask and source, with bars where a deviation is claimed."""
    x, y = [point.x for point in points], [point.y for point in points]
    if joined:
        axis.plot(x, y, color=style["color"], lw=1.1, zorder=2, ls="-" if source == "ours" else (0, (3, 2)))
    bars = [(point.x, point.y, point.deviation) for point in points if math.isfinite(point.deviation)]
    if bars:
        at, heights, deviations = zip(*bars)
        axis.errorbar(at, heights, yerr=deviations, fmt="none", ecolor=style["color"], elinewidth=1.1, zorder=2)
    axis.plot(x, y, ls="", zorder=3, **_face(style, source))


def _face(style: dict[str, Any], source: str) -> dict[str, Any]:
    """Ours filled, the paper's hollow and a little larger, so that both show where they agree."""
    hollow = {"mfc": "white", "mec": style["color"], "mew": 1.3, "ms": 7}
    filled = {"mfc": style["color"], "mec": "white", "mew": 0.5, "ms": 5.5}
    return {"marker": style["marker"]} | (hollow if source == "paper" else filled)
