"""Points: every pre-trained run above the same encoder from scratch, one panel per task and metric."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from simmim.report.measurements import (
    HEADLINE_METRICS,
    SEEDS_FOR_A_MEAN,
    Measurement,
    evaluation_label,
    in_order,
    measurement,
    metric_label,
)
from simmim.report.names import Facts
from simmim.report.style import HAIRLINE, INK, MUTED, SCRATCH, colours

_PANELS_A_LINE = 3


def scratch(frame: pd.DataFrame, scale: str, facts: Facts) -> tuple[Figure, str, str]:
    """A dot per seed, mean and standard deviation beside it; runs that share a baseline stand together."""
    wanted = frame[frame["metric"].isin(HEADLINE_METRICS)]
    panels = [
        (task, metric)
        for task in in_order(wanted["task"])
        for metric in HEADLINE_METRICS
        if metric in set(wanted.loc[wanted["task"] == task, "metric"])
    ]
    lines = [panels[first : first + _PANELS_A_LINE] for first in range(0, len(panels), _PANELS_A_LINE)] or [[]]
    rows = [_rows(set(wanted.loc[wanted["task"].isin([task for task, _ in line]), "run"]), facts) for line in lines]
    columns = max(1, *map(len, lines))
    heights = [0.36 * len(these) + 0.9 for these in rows]
    figure, axes = plt.subplots(
        len(lines), columns, figsize=(3.4 * columns + 1.0, sum(heights)),
        squeeze=False, sharey="row", height_ratios=heights, layout="constrained",
    )  # fmt: skip
    figure.get_layout_engine().set(wspace=0.06, hspace=0.08)
    for line, these, row_of_axes in zip(lines, rows, axes):
        for axis, (task, metric) in zip(row_of_axes, line):
            _panel(axis, [(label, run, measurement(frame, run, task, metric)) for label, run in these], facts)
            axis.set_title(f"{evaluation_label(task)}, {metric_label(metric)}")
        for axis in row_of_axes[len(line) :]:
            axis.axis("off")
    caption = (
        "Small dots: seeds. Large dot and bar: mean ± standard deviation over seeds, only where there are at least "
        f"{SEEDS_FOR_A_MEAN}; the printed number is that mean, or the values themselves. Grey: the same encoder from "
        "scratch; the dashed line carries its mean up through the runs it stands for. Horizontal axes do not begin at "
        "zero. " + _counts(frame, panels)
    )
    return figure, "Pre-trained against from scratch", caption


def _rows(measured: set[str], facts: Facts) -> list[tuple[str, str]]:
    """(label, run) from top to bottom: the runs of one encoder, then that encoder from scratch."""
    rows = []
    for baseline in dict.fromkeys(facts.baselines.values()):
        rows += [(run, run) for run, base in facts.baselines.items() if base == baseline and run in measured]
        rows += [(f"from scratch ({baseline})", baseline)] if baseline in measured else []
    return rows


def _panel(axis: Axes, rows: list[tuple[str, str, Measurement | None]], facts: Facts) -> None:
    palette = colours(list(facts.loss_areas))
    for height, (_, run, found) in enumerate(rows):
        if found is None:
            axis.text(0.5, height, "not run", transform=axis.get_yaxis_transform(), ha="center", va="center",
                      color=MUTED, fontsize=7.5, style="italic")  # fmt: skip
        else:
            _row(axis, height, found, palette.get(run, SCRATCH))
    names = [run for _, run, _ in rows]
    for baseline in dict.fromkeys(facts.baselines.values()):
        found = rows[names.index(baseline)][2] if baseline in names else None
        if found and found.claims_mean:
            top = min(names.index(run) for run in names if facts.baselines.get(run, run) == baseline)
            ends = [top - 0.35, names.index(baseline)]
            axis.plot([found.mean] * 2, ends, color=SCRATCH, lw=0.9, ls=(0, (3, 2)), zorder=0)
    axis.set_yticks(range(len(rows)), [label for label, _, _ in rows])
    axis.set_ylim(len(rows) - 0.5, -0.6)
    axis.tick_params(axis="y", length=0, labelcolor=INK)
    axis.spines["left"].set_visible(False)
    axis.grid(axis="x", color=HAIRLINE)
    axis.set_axisbelow(True)
    axis.margins(x=0.12)


def _row(axis: Axes, height: int, found: Measurement, colour: str) -> None:
    axis.scatter(found.values, [height] * len(found.values), s=13, color=colour, alpha=0.45, lw=0, zorder=3)
    if found.claims_mean:
        axis.errorbar(found.mean, height, xerr=found.deviation, fmt="o", ms=6, color=colour, mec="white", mew=0.9,
                      elinewidth=1.6, capsize=0, zorder=4)  # fmt: skip
    place = found.mean if found.claims_mean else sum(found.values) / len(found.values)
    axis.annotate(found.text, (place, height), xytext=(0, 6.5), textcoords="offset points", ha="center", fontsize=7,
                  color=colour, path_effects=[withStroke(linewidth=2.5, foreground="white")])  # fmt: skip


def _counts(frame: pd.DataFrame, panels: list[tuple[str, str]]) -> str:
    words = []
    for task in dict.fromkeys(task for task, _ in panels):
        counts = sorted(set(frame[frame["task"] == task].groupby("run")["seed"].nunique()))
        words.append(f"{evaluation_label(task)} {' or '.join(map(str, counts))}")
    return f"Seeds per run: {', '.join(words)}."
