"""Figures 3 and 7: AvgDist by mask ratio, and fine-tuning and transfers by AvgDist; the paper's points and ours."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from simmim.report.avg_dist_points import (
    Point,
    evaluation_of,
    masks_of_runs,
    our_ratios,
    our_scores,
    published_ratios,
    published_scores,
    published_transfers,
)
from simmim.report.measurements import SEEDS_FOR_A_MEAN, evaluation_label, metric_label
from simmim.report.names import REFERENCE_RUN, Facts
from simmim.report.paper_tables import Paper
from simmim.report.style import HAIRLINE, INK, MUTED, colours

_MARKERS = {"random": "o", "square": "s", "block-wise": "D"}
_MODERATE_PX = 10, 20  # the AvgDist that the paper calls good
_WORDS = {"paper": "the paper", "ours": "ours"}


def figure3(frame: pd.DataFrame, scale: str, facts: Facts, paper: Paper) -> tuple[Figure, str, str]:
    """AvgDist of every mask by its ratio (a), and fine-tuning top-1 by AvgDist (b)."""
    masks, rows = masks_of_runs(facts, paper), _rows(scale)
    ratios = published_ratios(paper) + our_ratios(frame, facts, masks)
    scores = published_scores(paper) + our_scores(frame, facts, masks, *evaluation_of("table1", paper))
    styles = _styles([point.mask for point in ratios], masks)
    figure, axes = plt.subplots(len(rows), 2, figsize=(10.6, 4.1 * len(rows)), squeeze=False, layout="constrained")
    figure.get_layout_engine().set(wspace=0.08, hspace=0.1)
    for (left, right), sources in zip(axes, rows):
        who = " and ".join(_WORDS[source] for source in sources)
        _draw(left, ratios, sources, styles, joined=True)
        left.set(title=f"(a) AvgDist by mask ratio: {who}", xlabel="share of the image that is hidden")
        left.set(ylabel=_avg_dist_label(sources, scale), xlim=(0, 1), ylim=(0, None))
        _draw(right, scores, sources, styles)
        right.set(title=f"(b) Fine-tuning: {who}", xlabel=_avg_dist_label(sources, scale), ylabel="top-1 (%)")
        if "paper" in sources:
            right.axvspan(*_MODERATE_PX, color=HAIRLINE, alpha=0.5, lw=0, zorder=0)
    _legend(figure, ratios, styles)
    caption = (
        f"AvgDist: mean distance of a hidden token to the nearest visible one. {_told_apart(scale)} The paper's top-1 "
        f"is that of its Table 1. Grey band: the range of {_MODERATE_PX[0]} to {_MODERATE_PX[1]} px that the paper "
        f"calls good. {_ours_words(scores)}"
    )
    return figure, "Figure 3: AvgDist and fine-tuning", caption


def figure7(frame: pd.DataFrame, scale: str, facts: Facts, paper: Paper) -> tuple[Figure, str, str]:
    """Every transfer by the AvgDist of the pre-training masks, a column per task."""
    masks, rows = masks_of_runs(facts, paper), _rows(scale)
    columns = dict.fromkeys(column for table, _, column in paper if table == "figure7")
    measured_by = {column: evaluation_of("figure7", paper, column) for column in columns}
    panels: dict[str, list[Point]] = {}
    for column in columns:
        panels[column] = published_transfers(paper, column, masks)
        panels[column] += our_scores(frame, facts, masks, *measured_by[column])
    drawn = [point for points in panels.values() for point in points]
    # In the order of Figure 3, for the same colours there and here.
    styles = _styles([point.mask for point in published_ratios(paper) + drawn], masks)
    figure, axes = plt.subplots(
        len(rows), len(panels), figsize=(3.0 * len(panels), 2.7 * len(rows) + 0.7), squeeze=False,
        layout="constrained",
    )  # fmt: skip
    figure.get_layout_engine().set(wspace=0.06, hspace=0.1)
    for (column, points), place in zip(panels.items(), axes.T):
        for axis, sources in zip(place, rows):
            _draw(axis, points, sources, styles)
            evaluation, metric = measured_by[column]
            ours = f"{evaluation_label(evaluation)}, {metric_label(metric)}"
            axis.set(title=column if "paper" in sources else ours, xlabel=_avg_dist_label(sources, scale))
    for axis, sources in zip(axes[:, 0], rows):
        axis.set_ylabel(" and ".join(_WORDS[source] for source in sources), color=INK, weight="bold")
    _legend(figure, drawn, styles)
    caption = (
        f"Transfer results against the AvgDist of the masks used in pre-training. {_told_apart(scale)} Which mask each "
        "of the paper's points is, is inferred from its AvgDist and its top-1: the paper does not say. "
        f"{_ours_words(drawn)}"
    )
    return figure, "Figure 7: transfers and AvgDist", caption


def _rows(scale: str) -> list[tuple[str, ...]]:
    """Whose points share a row of panels: at another scale than the paper's neither axis is the same quantity."""
    return [("paper", "ours")] if scale == "paper" else [("paper",), ("ours",)]


def _styles(drawn: Iterable[str], masks: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Colour and marker of every mask; that of the reference run has the colour the run has everywhere."""
    names = list(dict.fromkeys(drawn))
    reference = masks.get(REFERENCE_RUN)
    palette = colours([REFERENCE_RUN if name == reference else name for name in names])
    return {
        name: {
            "color": palette[REFERENCE_RUN if name == reference else name],
            "marker": _MARKERS.get(name.partition(",")[0], "^"),
        }
        for name in names
    }


def _draw(
    axis: Axes, points: list[Point], sources: tuple[str, ...], styles: Mapping[str, Any], joined: bool = False
) -> None:
    """Marks of some sources, those of one mask joined by a line if asked."""
    shown = [point for point in points if point.source in sources]
    for key in dict.fromkeys((point.source, point.mask) for point in shown):
        mine = sorted((point for point in shown if (point.source, point.mask) == key), key=lambda point: point.x)
        source, style = key[0], styles[key[1]]
        if joined:
            axis.plot([p.x for p in mine], [p.y for p in mine], color=style["color"], lw=1.1, zorder=2,
                      ls="-" if source == "ours" else (0, (3, 2)))  # fmt: skip
        bars = [(point.x, point.y, point.deviation) for point in mine if math.isfinite(point.deviation)]
        if bars:
            x, y, deviation = zip(*bars)
            axis.errorbar(x, y, yerr=deviation, fmt="none", ecolor=style["color"], elinewidth=1.1, zorder=2)
        axis.plot([p.x for p in mine], [p.y for p in mine], ls="", zorder=3, **_face(style, source))
    if not shown:
        axis.text(0.5, 0.5, "not run", transform=axis.transAxes, ha="center", va="center", color=MUTED, style="italic")
        axis.set(xticks=[], yticks=[])
    axis.margins(0.08)
    axis.grid(axis="y")
    axis.set_axisbelow(True)


def _face(style: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Ours filled, the paper's hollow and a little larger, so that both show where they agree."""
    hollow = {"mfc": "white", "mec": style["color"], "mew": 1.3, "ms": 7}
    filled = {"mfc": style["color"], "mec": "white", "mew": 0.5, "ms": 5.5}
    return {"marker": style["marker"]} | (hollow if source == "paper" else filled)


def _legend(figure: Figure, points: list[Point], styles: Mapping[str, Any]) -> None:
    """The paper's marks and ours, then every mask that is drawn, in the paper's words and in those of this scale."""
    here: dict[str, str] = {}
    for point in points:
        here[point.mask] = point.words if point.source == "ours" else here.get(point.mask, point.words)
    grey = {"color": MUTED, "marker": "o"}
    entries = [(grey, source, words) for source, words in _WORDS.items()]
    entries += [
        (style, "ours", mask if here[mask] == mask else f"{mask} (here {here[mask].partition(', ')[2]})")
        for mask, style in styles.items()
        if mask in here
    ]
    handles = [Line2D([], [], ls="", label=label, **_face(style, source)) for style, source, label in entries]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False, fontsize=8)


def _avg_dist_label(sources: tuple[str, ...], scale: str) -> str:
    return "AvgDist (px of a 192-px image)" if "paper" in sources else f"AvgDist (px at {scale} scale)"


def _told_apart(scale: str) -> str:
    words = "Hollow: the paper's, read off its figure. Filled: measured here."
    if scale == "paper":
        return words
    return f"{words} Image, tokens and data are not the paper's at this scale, hence axes of their own."


def _ours_words(points: Iterable[Point]) -> str:
    """How many seeds stand behind our marks."""
    ours = [point for point in points if point.source == "ours"]
    if not ours:
        return "No run of ours is drawn: not run."
    bars = f"mean ± standard deviation where there are at least {SEEDS_FOR_A_MEAN} seeds, otherwise every seed"
    return f"Ours: {bars}. Vertical axes of scores do not begin at zero."
