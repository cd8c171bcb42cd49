"""Figure 3: AvgDist of every mask by its ratio (a), and fine-tuning by AvgDist (b); the paper's points and ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simmim.report.avg_dist_points import (
    MODERATE_PX,
    evaluation_and_metric,
    needs_beside,
    our_ratios,
    our_scores,
    published_ratios,
    published_scores,
)
from simmim.report.scale_facts import ResultFile, ScaleFacts

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from simmim.report.results import Results

title = "Figure 3: AvgDist and fine-tuning"
section = "Masks"
description = (
    "AvgDist of every mask by its ratio, and fine-tuning by AvgDist. Hollow: the paper's points, read off its figure. "
    "Filled: ours."
)


def needs(facts: ScaleFacts) -> list[ResultFile]:
    """AvgDist of every run, and the fine-tunings of Table 1."""
    return needs_beside(facts, "table1")


def make(results: Results, facts: ScaleFacts) -> tuple[Figure, str]:
    """Two panels, and at another scale than the paper's two more for our points."""
    import matplotlib.pyplot as plt

    from simmim.report.figures import _scatter as scatter
    from simmim.report.style import HAIRLINE

    ratios = published_ratios(facts) + our_ratios(results.records, facts)
    scores = published_scores(facts) + our_scores(results.records, facts, *evaluation_and_metric(facts, "table1"))
    styles, lines = scatter.styles_of(ratios + scores, facts), scatter.lines_of_panels(facts.scale)
    figure, axes = plt.subplots(len(lines), 2, figsize=(10.6, 4.1 * len(lines)), squeeze=False, layout="constrained")
    figure.get_layout_engine().set(wspace=0.08, hspace=0.1)
    for (left, right), sources in zip(axes, lines):
        who, avg_dist = scatter.whose(sources), scatter.avg_dist_label(sources, facts.scale)
        scatter.draw_points(left, ratios, sources, styles, joined=True)
        left.set(title=f"(a) AvgDist by mask ratio: {who}", xlabel="share of the image that is hidden")
        left.set(ylabel=avg_dist, xlim=(0, 1), ylim=(0, None))
        scatter.draw_points(right, scores, sources, styles)
        right.set(title=f"(b) Fine-tuning: {who}", xlabel=avg_dist, ylabel="top-1 (%)")
        if "paper" in sources:
            right.axvspan(*MODERATE_PX, color=HAIRLINE, alpha=0.5, lw=0, zorder=0)
    scatter.add_legend(figure, ratios, styles)
    caption = (
        f"AvgDist: mean distance of a hidden token to the nearest visible one. {scatter.told_apart(facts.scale)} In "
        "(a) the paper's points stand at the ratio that a mask is named by, ours at the share that its patches hide. "
        f"The paper's top-1 is that of its Table 1. Grey band: the range of {MODERATE_PX[0]} to {MODERATE_PX[1]} px "
        f"that the paper calls good. {scatter.ours_words(scores)}"
    )
    return figure, caption
