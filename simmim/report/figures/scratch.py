"""Every pre-trained run above the same encoder from scratch, one panel per evaluation and metric."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simmim.report.measurements import ENOUGH_FOR_A_MEAN, Measurement, measurement, metric_label
from simmim.report.scale_facts import ResultFile, ScaleFacts
from simmim.report.status import NothingToDraw

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from simmim.report.results import Results

title = "Pre-trained against from scratch"
section = "Does pre-training help?"
description = (
    "Each pre-trained run beside the same encoder from scratch: a dot per pre-training, mean and standard deviation "
    "where there are at least three. Axes do not begin at zero."
)

_COLUMNS = 3  # of panels, or as many as it takes beside the highest one
_PANEL, _NAMES, _RUN, _BETWEEN = 2.5, 1.6, 0.36, 0.9  # inches: a panel, names left of it, a run, between panels


def needs(facts: ScaleFacts) -> list[ResultFile]:
    """Every evaluation of the scale that is a score."""
    return facts.evaluations()


def make(results: Results, facts: ScaleFacts) -> tuple[Figure, str]:
    """A dot per pre-training, mean and standard deviation beside it; runs that share a baseline stand together."""
    from simmim.report.figures._lines import colours_of
    from simmim.report.figures._strips import draw_panel

    frame = results.records
    frame = frame[frame["run"].isin({*facts.baselines, *facts.baselines.values()})]
    panels = _panels(frame, facts)
    if not panels:
        raise NothingToDraw("No run that has a baseline from scratch was evaluated")
    rows = {panel: _rows(frame, *panel, facts) for panel in panels}
    palette = colours_of(list(dict.fromkeys(run for found in rows.values() for run in found)), facts)
    figure, axes = _axes([len(found) for found in rows.values()])
    for axis, ((evaluation, metric), found) in zip(axes, rows.items()):
        draw_panel(axis, found, palette, facts)
        axis.set_title(f"{facts.evaluation_label(evaluation)}\n{metric_label(metric)}")
    caption = (
        "Small dots: pre-trainings, each the mean over its evaluation seeds. Large dot and bar: mean ± standard "
        f"deviation over pre-trainings, only where there are at least {ENOUGH_FOR_A_MEAN}; the printed number is that "
        "mean, or the values themselves. Grey: the same encoder from scratch; the dashed line carries its mean up "
        "through the runs it stands for. A panel has the runs that were evaluated by it. Horizontal axes do not begin "
        f"at zero. {_counts_words(frame, panels, facts)}{facts.naming_note()}"
    )
    return figure, caption


def _panels(frame: pd.DataFrame, facts: ScaleFacts) -> list[tuple[str, str]]:
    """(evaluation, metric) of every comparison that there are results of."""
    wanted = frame[frame["metric"].isin(facts.headline_metrics)]
    found = set(wanted[["evaluation", "metric"]].itertuples(index=False, name=None))
    known = facts.in_order(wanted["evaluation"])
    evaluations = [name for name in known if any(facts.has_from_scratch(run, name) for run in facts.baselines)]
    return [(name, metric) for name in evaluations for metric in facts.headline_metrics if (name, metric) in found]


def _rows(frame: pd.DataFrame, evaluation: str, metric: str, facts: ScaleFacts) -> dict[str, Measurement]:
    """What was run, from top to bottom: runs of one encoder, then that encoder from scratch."""
    rows = {}
    for baseline in dict.fromkeys(facts.baselines.values()):
        mine = [run for run, base in facts.baselines.items() if base == baseline]
        rows |= {run: measurement(frame, run, evaluation, metric) for run in (*mine, baseline)}
    return {run: found for run, found in rows.items() if found}


def _axes(counts: list[int]) -> tuple[Figure, list[Axes]]:
    """A panel for each number of runs, as high as these take, down one column after the other; sizes in inches."""
    import matplotlib.pyplot as plt

    heights = [_RUN * count + _BETWEEN for count in counts]
    height = max(*heights, sum(heights) / _COLUMNS)
    places, column, down = [], 0, 0.0
    for each in heights:
        if down + each > height + 1e-9:
            column, down = column + 1, 0.0
        places.append((_NAMES + column * (_NAMES + _PANEL), height - down - each + _BETWEEN))
        down += each
    width, height = (column + 1) * (_NAMES + _PANEL), height + _BETWEEN
    figure = plt.figure(figsize=(width, height))
    size = [(_PANEL / width, (each - _BETWEEN) / height) for each in heights]
    return figure, [figure.add_axes((x / width, y / height, *wide)) for (x, y), wide in zip(places, size)]


def _counts_words(frame: pd.DataFrame, panels: list[tuple[str, str]], facts: ScaleFacts) -> str:
    words = []
    for evaluation in dict.fromkeys(evaluation for evaluation, _ in panels):
        counts = sorted(set(frame[frame["evaluation"] == evaluation].groupby("run")["pretraining"].nunique()))
        words.append(f"{facts.evaluation_label(evaluation)} {' or '.join(map(str, counts))}")
    return f"Pre-trainings of each run: {', '.join(words)}."
