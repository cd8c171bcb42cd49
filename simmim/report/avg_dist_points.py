"""What Figures 3 and 7 and the order of masks are made from: published and own AvgDist, mask ratios and scores."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from simmim.report.measurements import best_measurement, measurement
from simmim.report.scale_facts import Cell, MaskName, ResultFile, ScaleFacts

if TYPE_CHECKING:
    import pandas as pd


MODERATE_PX = 10, 20  # the AvgDist that the paper calls good


class Point(NamedTuple):
    """One mark in a figure.

    Args:
        source: "paper" or "ours".
        deviation: standard deviation of y over pre-trainings, NaN where none is claimed.
    """

    source: str
    mask: MaskName
    x: float
    y: float
    deviation: float = math.nan


def needs_beside(facts: ScaleFacts, table: str) -> list[ResultFile]:
    """AvgDist of every run, and the evaluations of a published table, of runs that differ in their mask alone."""
    evaluations = {name for cell in facts.cells(table).values() for name in cell["evaluation"].split()}
    runs = {*facts.fitting_masks}
    found = [need for need in facts.evaluations() if need.run in runs and need.evaluation in evaluations]
    return [ResultFile("avg_dist"), *found] if facts.fitting_masks and evaluations else []


def published_ratios(facts: ScaleFacts) -> list[Point]:
    """Figure 3a: AvgDist (y) of each mask and ratio (x)."""
    cells = facts.cells("figure3a").items()
    return [Point("paper", _mask(cell, row, facts), float(cell["x"]), float(cell["value"])) for (row, _), cell in cells]


def published_scores(facts: ScaleFacts) -> list[Point]:
    """Figure 3b: top-1 of Table 1 (y) against AvgDist (x) of the same run."""
    scores = {cell["run"]: float(cell["value"]) for cell in facts.cells("table1").values()}
    cells = [(row, cell) for (row, _), cell in facts.cells("figure3a").items() if cell["run"] in scores]
    return [Point("paper", _mask(cell, row, facts), float(cell["value"]), scores[cell["run"]]) for row, cell in cells]


def published_transfers(facts: ScaleFacts, column: str) -> list[Point]:
    """One panel of Figure 7: a score (y) against AvgDist (x)."""
    cells = [(row, cell) for (row, name), cell in facts.cells("figure7").items() if name == column]
    return [Point("paper", _mask(cell, row, facts), float(cell["x"]), float(cell["value"])) for row, cell in cells]


def our_ratios(frame: pd.DataFrame, facts: ScaleFacts) -> list[Point]:
    """AvgDist on tokens (y) of every run of the masking ablation and the share that it hides (x)."""
    points = []
    for run in facts.fitting_masks:
        share = measurement(frame, run, "pretrain", "hidden_share")
        avg_dist = measurement(frame, run, "pretrain", "avg_dist")
        if share and avg_dist:
            points.append(Point("ours", facts.masks[run], share.mean, avg_dist.mean))
    return points


def our_scores(frame: pd.DataFrame, facts: ScaleFacts, evaluations: str, metric: str) -> list[Point]:
    """A metric (y) against AvgDist (x): the mean with its deviation, or a point for every pre-training."""
    points = []
    for run in facts.fitting_masks:
        avg_dist = measurement(frame, run, "pretrain", "avg_dist")
        found = best_measurement(frame, run, evaluations, metric)
        if avg_dist and found:
            marks = [(found.mean, found.deviation)] if found.claims_mean else [(y, math.nan) for y in found.values]
            points += [Point("ours", facts.masks[run], avg_dist.mean, *mark) for mark in marks]
    return points


def evaluation_and_metric(facts: ScaleFacts, table: str, column: str | None = None) -> tuple[str, str]:
    """Evaluation, or several of which the best counts, and metric behind a column of a table, by default its first."""
    cells = [cell for (_, name), cell in facts.cells(table).items() if column in (None, name)]
    return (cells[0]["evaluation"], cells[0]["metric"]) if cells else ("", "")


def _mask(cell: Cell, row: str, facts: ScaleFacts) -> MaskName:
    """The mask of the run beside a published cell; of a cell without one the name of its row."""
    return facts.masks.get(cell["run"], MaskName(row, 0, row))
