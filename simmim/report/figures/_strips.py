"""A strip of dots per run: pre-trainings, their mean and spread, and the mean from scratch as a dashed line."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from simmim.report.measurements import Measurement
from simmim.report.scale_facts import ScaleFacts
from simmim.report.style import HAIRLINE, INK, OTHERS, SCRATCH

_HALO = withStroke(linewidth=2.5, foreground="white")


def draw_panel(axis: Axes, rows: Mapping[str, Measurement], palette: dict[str, str], facts: ScaleFacts) -> None:
    """Draw one measurement of each run, the first run on top."""
    runs = list(rows)
    values = pd.DataFrame([{"run": run, "value": value} for run, found in rows.items() for value in found.values])
    palette = {run: INK if palette[run] == OTHERS else palette[run] for run in runs}  # numbers have to be readable
    style = {"hue": "run", "palette": palette, "hue_order": runs, "legend": False, "jitter": False}
    sns.stripplot(values, x="value", y="run", order=runs, size=3.6, alpha=0.45, ax=axis, **style)
    for height, (run, found) in enumerate(rows.items()):
        _mean(axis, height, found, palette[run])
    for baseline in set(facts.baselines.values()) & set(runs):
        _carry_up(axis, baseline, rows, facts)
    _frame(axis, [facts.run_label(run) for run in runs])


def _mean(axis: Axes, height: int, found: Measurement, colour: str) -> None:
    """Mean and standard deviation where they may be claimed, and the numbers in any case."""
    if found.claims_mean:
        dot = {"fmt": "o", "ms": 6, "mec": "white", "mew": 0.9, "elinewidth": 1.6, "zorder": 4}
        axis.errorbar(found.mean, height, xerr=found.deviation, color=colour, **dot)
    text = {"textcoords": "offset points", "ha": "center", "fontsize": 7, "path_effects": [_HALO]}
    axis.annotate(found.text, (found.mean, height), xytext=(0, 6.5), color=colour, **text)


def _carry_up(axis: Axes, baseline: str, rows: Mapping[str, Measurement], facts: ScaleFacts) -> None:
    """A dashed line from the mean from scratch through the runs that it stands for."""
    found, runs = rows[baseline], list(rows)
    if found.claims_mean:
        top = min(runs.index(run) for run in runs if facts.baselines.get(run, run) == baseline)
        ends = [top - 0.35, runs.index(baseline)]
        axis.plot([found.mean] * 2, ends, color=SCRATCH, lw=0.9, ls=(0, (3, 2)), zorder=0)


def _frame(axis: Axes, labels: list[str]) -> None:
    axis.set(xlabel="", ylabel="")
    axis.set_yticks(range(len(labels)), labels)
    axis.set_ylim(len(labels) - 0.5, -0.6)
    axis.tick_params(axis="y", length=0, labelcolor=INK)
    axis.spines["left"].set_visible(False)
    axis.grid(axis="x", color=HAIRLINE)
    axis.set_axisbelow(True)
    axis.margins(x=0.12)
