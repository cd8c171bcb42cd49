"""Every pre-trained run above the same encoder from scratch, one panel per evaluation and metric."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simmim.report.measurements import ENOUGH_FOR_A_MEAN, measurement, metric_label
from simmim.report.scale_facts import ResultFile, ScaleFacts
from simmim.report.status import NothingToDraw

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from simmim.report.results import Results

title = "Pre-trained against from scratch"
section = "Does pre-training help?"
description = (
    "Each pre-trained run beside the same encoder from scratch: a dot per pre-training, mean and standard deviation "
    "where there are at least three. Axes do not begin at zero."
)

_PANELS_A_LINE = 3


def needs(facts: ScaleFacts) -> list[ResultFile]:
    """Every evaluation of the scale that is a score."""
    return facts.evaluations()


def make(results: Results, facts: ScaleFacts) -> tuple[Figure, str]:
    """A dot per pre-training, mean and standard deviation beside it; runs that share a baseline stand together."""
    import matplotlib.pyplot as plt

    from simmim.report.figures._strips import draw_panel

    frame = results.records
    frame = frame[frame["run"].isin({*facts.baselines, *facts.baselines.values()})]
    panels = _panels(frame, facts)
    if not panels:
        raise NothingToDraw("No run that has a baseline from scratch was evaluated")
    lines = [panels[first : first + _PANELS_A_LINE] for first in range(0, len(panels), _PANELS_A_LINE)]
    rows = [
        _rows({run for evaluation, _ in line for run in _measured(frame, evaluation, facts)}, facts) for line in lines
    ]
    columns, heights = max(map(len, lines)), [0.36 * len(runs) + 0.9 for runs in rows]
    size = (3.4 * columns + 1.0, sum(heights))
    figure, axes = plt.subplots(
        len(lines), columns, figsize=size, squeeze=False, sharey="row", height_ratios=heights, layout="constrained"
    )
    figure.get_layout_engine().set(wspace=0.06, hspace=0.08)
    for line, runs, row_of_axes in zip(lines, rows, axes):
        for axis, (evaluation, metric) in zip(row_of_axes, line):
            draw_panel(axis, {run: measurement(frame, run, evaluation, metric) for run in runs}, facts)
            axis.set_title(f"{facts.evaluation_label(evaluation)}, {metric_label(metric)}")
        for axis in row_of_axes[len(line) :]:
            axis.axis("off")
    caption = (
        "Small dots: pre-trainings, each the mean over its evaluation seeds. Large dot and bar: mean ± standard "
        f"deviation over pre-trainings, only where there are at least {ENOUGH_FOR_A_MEAN}; the printed number is that "
        "mean, or the values themselves. Grey: the same encoder from scratch; the dashed line carries its mean up "
        "through the runs it stands for. Horizontal axes do not begin at zero. "
        f"{_counts_words(frame, panels, facts)}{facts.naming_note()}"
    )
    return figure, caption


def _panels(frame: pd.DataFrame, facts: ScaleFacts) -> list[tuple[str, str]]:
    """(evaluation, metric) of every comparison that there are results of."""
    wanted = frame[frame["metric"].isin(facts.headline_metrics)]
    found = set(wanted[["evaluation", "metric"]].itertuples(index=False, name=None))
    known = facts.in_order(wanted["evaluation"])
    evaluations = [name for name in known if any(facts.has_from_scratch(run, name) for run in facts.baselines)]
    return [(name, metric) for name in evaluations for metric in facts.headline_metrics if (name, metric) in found]


def _measured(frame: pd.DataFrame, evaluation: str, facts: ScaleFacts) -> set[str]:
    is_wanted = frame["metric"].isin(facts.headline_metrics) & (frame["evaluation"] == evaluation)
    return set(frame.loc[is_wanted, "run"])


def _rows(measured: set[str], facts: ScaleFacts) -> list[str]:
    """Runs from top to bottom: those of one encoder, then that encoder from scratch."""
    rows = []
    for baseline in dict.fromkeys(facts.baselines.values()):
        mine = [run for run, base in facts.baselines.items() if base == baseline]
        rows += [run for run in (*mine, baseline) if run in measured]
    return rows


def _counts_words(frame: pd.DataFrame, panels: list[tuple[str, str]], facts: ScaleFacts) -> str:
    words = []
    for evaluation in dict.fromkeys(evaluation for evaluation, _ in panels):
        counts = sorted(set(frame[frame["evaluation"] == evaluation].groupby("run")["pretraining"].nunique()))
        words.append(f"{facts.evaluation_label(evaluation)} {' or '.join(map(str, counts))}")
    return f"Pre-trainings of each run: {', '.join(words)}."
