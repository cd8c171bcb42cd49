"""Training loss of every run and seed; a panel per kind of loss, since these are different quantities."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simmim.report.measurements import ENOUGH_FOR_A_MEAN
from simmim.report.scale_facts import ResultFile, ScaleFacts

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from simmim.report.results import Results

title = "Pre-training losses"
section = "What pre-training learns"
description = (
    "Pre-training losses of every run and seed. The loss on the full image is another quantity than the loss on the "
    "masked area and has a panel of its own."
)

_PANELS_A_LINE = 3


def needs(facts: ScaleFacts) -> list[ResultFile]:
    """The logs of every training."""
    return [ResultFile("pretrain", run) for run in facts.trained]


def make(results: Results, facts: ScaleFacts) -> tuple[Figure, str]:
    """Loss over updates, one panel for each kind of loss."""
    import matplotlib.pyplot as plt
    from matplotlib.ticker import ScalarFormatter

    from simmim.report.figures._lines import counts_words, draw_runs

    records = results.records[results.records["evaluation"] == "pretrain"]
    frame = records[records["metric"] == "loss"]
    runs = [run for run in facts.losses if run in set(frame["run"])]
    kinds = list(dict.fromkeys(facts.losses[run] for run in runs)) or ["training loss"]
    columns = min(len(kinds), _PANELS_A_LINE)
    lines = -(-len(kinds) // columns)
    size = (4.6 * columns, 3.4 * lines)
    figure, axes = plt.subplots(lines, columns, figsize=size, squeeze=False, layout="constrained")
    for axis, kind in zip(axes.flat, kinds):
        draw_runs(axis, frame, [run for run in runs if facts.losses[run] == kind], facts, "step")
        axis.set(title=kind, xlabel="update", ylabel="loss")
        if axis.lines:
            axis.set_xscale("log")  # or the longest run leaves no room for the others
            axis.xaxis.set_major_formatter(ScalarFormatter())
        axis.margins(x=0.02)
    for axis in axes.flat[len(kinds) :]:
        axis.axis("off")
    caption = (
        "Training loss over updates on a logarithmic axis, each point the mean since the one before. A thin line per "
        f"pre-training, a thick one for their mean where there are at least {ENOUGH_FOR_A_MEAN} "
        f"({counts_words(frame, runs)}). Different losses, targets and areas are different quantities, hence a panel "
        "for each; the loss on the full image includes visible pixels, which are easy. The vertical axes do not begin "
        f"at zero.{_spikes_words(records[records['metric'] == 'loss_spikes'], facts)}{facts.naming_note()}"
    )
    return figure, caption


def _spikes_words(counts: pd.DataFrame, facts: ScaleFacts) -> str:
    """Which runs had updates with a loss or gradient norm far above those before (`simmim.train.spikes`)."""
    found = counts[counts["value"] > 0]
    named = [f"{facts.run_label(row.run)} seed {row.seed} ({row.value:.0f})" for row in found.itertuples()]
    return f" Spikes of loss or gradient norm, by rows of the log: {', '.join(named)}." if named else ""
