"""Figure 7: every transfer by the AvgDist of the pre-training masks, a column per task."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simmim.report.avg_dist_points import (
    Point,
    evaluation_and_metric,
    needs_beside,
    our_scores,
    published_ratios,
    published_transfers,
)
from simmim.report.measurements import metric_label
from simmim.report.scale_facts import ResultFile, ScaleFacts

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from simmim.report.results import Results

title = "Figure 7: transfers and AvgDist"
section = "Masks"
description = (
    "Transfers by the AvgDist of the pre-training masks. Hollow: the paper's points, read off its figure. Filled: ours."
)


def needs(facts: ScaleFacts) -> list[ResultFile]:
    """AvgDist of every run, and its transfers."""
    return needs_beside(facts, "figure7")


def make(results: Results, facts: ScaleFacts) -> tuple[Figure, str]:
    """A column of panels for each task."""
    import matplotlib.pyplot as plt

    from simmim.report.figures import _scatter as scatter
    from simmim.report.style import INK

    panels = {column: _points(results.records, column, facts) for _, column in facts.cells("figure7")}
    drawn = [point for points in panels.values() for point in points]
    # In the order of Figure 3, for the same colours there and here.
    styles = scatter.styles_of(published_ratios(facts) + drawn, facts)
    lines = [each for each in scatter.lines_of_panels(facts.scale) if any(point.source in each for point in drawn)]
    size = (3.0 * len(panels), 2.7 * len(lines) + 0.7)
    figure, axes = plt.subplots(len(lines), len(panels), figsize=size, squeeze=False, layout="constrained")
    figure.get_layout_engine().set(wspace=0.06, hspace=0.1)
    for sources, row_of_axes in zip(lines, axes):
        for axis, (column, points) in zip(row_of_axes, panels.items()):
            if not any(point.source in sources for point in points):
                axis.axis("off")
                continue
            scatter.draw_points(axis, points, sources, styles)
            heading = column if "paper" in sources else _ours(column, facts)
            axis.set(title=heading, xlabel=scatter.avg_dist_label(sources, facts.scale))
        first = next(axis for axis in row_of_axes if axis.axison)
        first.set_ylabel(scatter.whose(sources), color=INK, weight="bold")
    empty = (axis for axis in axes[-1] if not axis.axison)
    scatter.add_legend(next(empty, figure), drawn, styles)
    absent = [name for name, points in panels.items() if not any(point.source == "ours" for point in points)]
    not_run = f" Not run here: {', '.join(absent)}." if 0 < len(absent) < len(panels) else ""
    caption = (
        "Transfer results against the AvgDist of the masks used in pre-training. "
        f"{scatter.told_apart(facts.scale)} Which mask each of the paper's points is, is inferred from its AvgDist and "
        f"its top-1: the paper does not say. {scatter.ours_words(drawn)}{not_run}"
    )
    return figure, caption


def _points(frame: pd.DataFrame, column: str, facts: ScaleFacts) -> list[Point]:
    return published_transfers(facts, column) + our_scores(
        frame, facts, *evaluation_and_metric(facts, "figure7", column)
    )


def _ours(column: str, facts: ScaleFacts) -> str:
    """What our points of a column are measured by."""
    evaluations, metric = evaluation_and_metric(facts, "figure7", column)
    return f"{facts.evaluation_label(evaluations)}, {metric_label(metric)}"
