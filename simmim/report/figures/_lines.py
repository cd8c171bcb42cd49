"""Lines of many runs: pre-trainings thin, means thick, and each run's name where its line ends."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from simmim.report.measurements import ENOUGH_FOR_A_MEAN
from simmim.report.scale_facts import ScaleFacts
from simmim.report.style import MUTED, OTHERS, SCRATCH, colours, say_not_run, spread_labels

_COLOURED_RUNS = 8  # of a panel with more, only the reference run and encoders from scratch have a colour
_NAMED_RUNS = 12  # of a panel with more, the others have no name either
_LABEL_HEIGHT = 0.055  # of a name, as a share of the vertical axis


class _End(NamedTuple):
    label: str
    x: float
    y: float
    colour: str


def draw_runs(axis: Axes, rows: pd.DataFrame, runs: list[str], facts: ScaleFacts, x: str) -> None:
    """Draw `value` over `x` for each run, a line per pre-training and one for their mean where there are enough."""
    if not runs:
        say_not_run(axis)
        return
    palette = colours_of(runs, facts)
    rows, ends = per_pretraining(rows, x), []
    for run in sorted(runs, key=lambda run: palette[run] != OTHERS):  # those with a colour on top
        mine = rows[rows["run"] == run]
        draw_run(axis, mine, x, {"color": palette[run], "ls": dashes_of(run, facts)})
        if palette[run] != OTHERS or len(runs) <= _NAMED_RUNS:
            mean, colour = mine.groupby(x)["value"].mean(), MUTED if palette[run] == OTHERS else palette[run]
            ends.append(_End(facts.run_label(run), mean.index[-1], mean.iloc[-1], colour))
    if unnamed := len(runs) - len(ends):
        words = f"{unnamed} {'other ' if ends else ''}runs"
        axis.legend([Line2D([], [], color=OTHERS, lw=2.0)], [words], loc="best", frameon=False, labelcolor=MUTED)
    axis.grid(axis="y")
    _name_ends(axis, ends)


def colours_of(runs: list[str], facts: ScaleFacts) -> dict[str, str]:
    """The colours of runs that stand together; where they are too many to be told apart, `OTHERS` of most."""
    untrained = {run for run in runs if run not in facts.trained}
    coloured = runs if len(runs) <= _COLOURED_RUNS else {facts.reference, *untrained}
    return {run: colour_of(run, facts) if run in coloured else OTHERS for run in runs}


def colour_of(run: str, facts: ScaleFacts) -> str:
    """A pre-trained run has the colour it has everywhere, an encoder from scratch is grey."""
    return colours(facts.trained, facts.reference)[run] if run in facts.trained else SCRATCH


def per_pretraining(rows: pd.DataFrame, x: str) -> pd.DataFrame:
    """The mean over the evaluation seeds of each pre-training."""
    return rows.groupby(["run", "pretraining", x], as_index=False)["value"].mean()


def dashes_of(run: str, facts: ScaleFacts) -> Any:
    """A pre-trained run has a whole line, an encoder from scratch a dashed one."""
    return "-" if run in facts.trained else (0, (4, 2))


def has_mean(rows: pd.DataFrame) -> bool:
    """Whether there are enough pre-trainings to draw a mean."""
    return rows["pretraining"].nunique() >= ENOUGH_FOR_A_MEAN


def counts_words(frame: pd.DataFrame, runs: Iterable[str]) -> str:
    """How many pre-trainings stand behind the lines, for a caption."""
    counts = {run: frame.loc[frame["run"] == run, "pretraining"].nunique() for run in runs}
    if len(counts) > _NAMED_RUNS:
        few, many = min(counts.values()), max(counts.values())
        return f"{len(counts)} runs of {few if few == many else f'{few} to {many}'} each"
    return "of each run: " + ", ".join(f"{run} {count}" for run, count in counts.items())


def draw_run(axis: Axes, mine: pd.DataFrame, x: str, line: dict[str, Any]) -> None:
    """Draw `value` over `x` for one run, a line per pre-training and one for their mean where there are enough."""
    thin = {"lw": 0.7, "alpha": 0.35} if has_mean(mine) else {"lw": 1.5, "alpha": 0.9}
    sns.lineplot(mine, x=x, y="value", units="pretraining", estimator=None, ax=axis, **line, **thin)
    if has_mean(mine):
        sns.lineplot(mine, x=x, y="value", errorbar=None, ax=axis, lw=2.0, **line)


def _name_ends(axis: Axes, ends: list[_End]) -> None:
    """Write each run's name where its line ends, apart from others that end at the same place."""
    low, high = axis.get_ylim()
    for x in sorted({end.x for end in ends}):
        there = [end for end in ends if end.x == x]
        heights = spread_labels([end.y for end in there], _LABEL_HEIGHT * (high - low))
        for end, height in zip(there, heights):
            place = {"xytext": (7, 0), "textcoords": "offset points", "va": "center", "annotation_clip": False}
            axis.annotate(end.label, (end.x, height), color=end.colour, fontsize=8, **place)
    axis.set_ylim(low, high)
