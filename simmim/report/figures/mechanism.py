"""What encoders compute, over their depth: how far attention reaches, what of it is the query's, high frequencies."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, NamedTuple

from simmim.report.measurements import ENOUGH_FOR_A_MEAN, block_number
from simmim.report.scale_facts import ResultFile, ScaleFacts
from simmim.report.status import NothingToDraw

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from simmim.report.results import Results

title = "What do the blocks compute?"
section = "Features, block by block"
description = (
    "Attention distance, mutual information of queries and keys, and amplitude of the highest frequency, over the "
    "blocks of pre-trained encoders and of those from scratch."
)

_WORDS = (
    "Curves of Park et al. (arXiv 2305.00729), on validation images. Distance: pixels between a token and those "
    "that it attends to, by its attention, mean over heads. A Swin attends within a window, whose tokens are twice as "
    "large in every stage; every other block shifts the windows, and those at the edge are smaller. Mutual information "
    "of a query's and a key's place: 0 where attention does not depend on the query. High frequencies: natural "
    "logarithm of the Fourier amplitude of a block's output at the highest frequency of its map, less that at 0."
)


class _Curve(NamedTuple):
    """A column of panels.

    Args:
        top: where its axis ends at the least, if it begins at zero.
        part: end of the parts that it shows; it is their mean.
    """

    metric: str
    title: str
    unit: str
    top: float | None = None
    part: str = ""


_CURVES = (
    _Curve("attention_distance", "How far attention reaches", "distance (px)", top=1.0),
    _Curve("attention_nmi", "How much depends on the query", "normalised mutual information", top=0.01),
    _Curve("fourier_log_amplitude", "High frequencies", "relative log amplitude", part="frequency 1"),
)


def needs(facts: ScaleFacts) -> list[ResultFile]:
    """Every mechanism of the scale."""
    return facts.evaluations("mechanism")


def make(results: Results, facts: ScaleFacts) -> tuple[Figure, str]:
    """A line of panels for each encoder, in each panel a curve for every run that has it."""
    import matplotlib.pyplot as plt

    from simmim.report.figures._lines import counts_words
    from simmim.report.figures._mechanism import lines_of, runs_by_encoder

    frame = results.records
    frame = frame[frame["metric"].isin([curve.metric for curve in _CURVES])]
    groups = runs_by_encoder(frame, facts)
    if not groups:
        raise NothingToDraw("No encoder was looked into")
    frame = frame.assign(block=frame["part"].map(block_number))
    size = (3.6 * len(_CURVES) + 1.6, 2.9 * len(groups))
    figure, axes = plt.subplots(len(groups), len(_CURVES), figsize=size, squeeze=False, layout="constrained")
    figure.get_layout_engine().set(wspace=0.04, hspace=0.06)
    for runs, row_of_axes in zip(groups, axes):
        lines = lines_of(runs, facts)
        for axis, curve in zip(row_of_axes, _CURVES):
            _draw(axis, frame[frame["metric"] == curve.metric], lines, curve)
        _name(row_of_axes[-1], lines, facts)
    caption = (
        f"{_WORDS} Thin lines: pre-trainings; thick: their mean where there are at least {ENOUGH_FOR_A_MEAN} "
        f"({counts_words(frame, itertools.chain(*groups))}). Grey: encoders without pre-training.{facts.naming_note()}"
    )
    return figure, caption


def _draw(axis: Axes, rows: pd.DataFrame, lines: dict[str, dict[str, Any]], curve: _Curve) -> None:
    """One curve of every run; an encoder that has none of it says so."""
    from simmim.report.figures._lines import draw_run, per_pretraining
    from simmim.report.style import say

    axis.set(title=curve.title, xlabel="block (1: nearest to the image)", ylabel=curve.unit)
    rows = rows[rows["run"].isin(lines) & rows["part"].str.endswith(curve.part)]
    if not len(rows):
        say(axis, "no attention map in every block")
        return
    means = per_pretraining(rows, "block")
    for run, line in reversed(lines.items()):  # the first on top
        mine = means[means["run"] == run]
        if len(mine):
            draw_run(axis, mine, "block", line)
    if curve.top:
        axis.set_ylim(0, max(curve.top, 1.05 * means["value"].max()))
    axis.grid(axis="y")
    axis.margins(x=0.02)
    axis.xaxis.get_major_locator().set_params(integer=True)


def _name(axis: Axes, lines: dict[str, dict[str, Any]], facts: ScaleFacts) -> None:
    """What the runs of a line of panels are called, beside it."""
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], lw=1.8, label=facts.run_label(run), **line) for run, line in lines.items()]
    place = {"loc": "center left", "bbox_to_anchor": (1.02, 0.5)}
    axis.legend(handles=handles, labelcolor="linecolor", frameon=False, fontsize=8, **place)
