"""What Figures 3 and 7 are drawn from: published and own points of AvgDist, mask ratio and scores."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from simmim.report.measurements import best_measurement, measurement
from simmim.report.names import Facts
from simmim.report.paper_tables import Paper


@dataclass(frozen=True)
class Point:
    """One mark in a figure.

    Args:
        source: "paper" or "ours".
        mask: what masks it, in the paper's words where the paper has it: 'random, 32 px'.
        words: the same as it is at this scale: 'random, 16 px'.
        deviation: standard deviation of y over seeds, NaN where none is claimed.
    """

    source: str
    mask: str
    words: str
    x: float
    y: float
    deviation: float = math.nan


def masks_of_runs(facts: Facts, paper: Paper) -> dict[str, str]:
    """The mask of every run of the masking ablation, in the paper's words where Figure 3a has it."""
    published = {cell["run"]: row for (table, row, _), cell in paper.items() if table == "figure3a" and cell["run"]}
    return {run: published.get(run, words) for run, words in facts.masks.items()} | published


def published_ratios(paper: Paper) -> list[Point]:
    """Figure 3a: AvgDist (y) of each mask and ratio (x)."""
    cells = [(row, column, cell) for (table, row, column), cell in paper.items() if table == "figure3a"]
    return [Point("paper", row, row, _number(column), float(cell["value"])) for row, column, cell in cells]


def published_scores(paper: Paper) -> list[Point]:
    """Figure 3b: top-1 of Table 1 (y) against AvgDist (x) of the same run."""
    scores = {cell["run"]: float(cell["value"]) for (table, _, _), cell in paper.items() if table == "table1"}
    cells = [(row, cell) for (table, row, _), cell in paper.items() if table == "figure3a" and cell["run"] in scores]
    return [Point("paper", row, row, float(cell["value"]), scores[cell["run"]]) for row, cell in cells]


def published_transfers(paper: Paper, column: str, masks: Mapping[str, str]) -> list[Point]:
    """One panel of Figure 7; its AvgDist (x) is the first number of the row's name."""
    runs = {row: cell["run"] for (table, row, _), cell in paper.items() if table == "figure7" and cell["run"]}
    cells = [(row, cell) for (table, row, name), cell in paper.items() if (table, name) == ("figure7", column)]
    points = [(masks.get(runs.get(row, ""), row), _number(row), float(cell["value"])) for row, cell in cells]
    return [Point("paper", mask, mask, x, y) for mask, x, y in points]


def our_ratios(frame: pd.DataFrame, facts: Facts, masks: Mapping[str, str]) -> list[Point]:
    """AvgDist on tokens (y) of every run of the masking ablation and the share that it hides (x)."""
    points = []
    for run, words in facts.masks.items():
        share = measurement(frame, run, "pretrain", "hidden_share")
        avg_dist = measurement(frame, run, "pretrain", "avg_dist")
        if share and avg_dist:
            points.append(Point("ours", masks[run], words, share.mean, avg_dist.mean))
    return points


def our_scores(
    frame: pd.DataFrame, facts: Facts, masks: Mapping[str, str], evaluation: str, metric: str
) -> list[Point]:
    """A metric (y) against AvgDist (x): the mean over seeds with its deviation, or a point for every seed."""
    points = []
    for run, words in facts.masks.items():
        avg_dist = measurement(frame, run, "pretrain", "avg_dist")
        found = best_measurement(frame, run, evaluation, metric)
        if avg_dist and found:
            marks = [(found.mean, found.deviation)] if found.claims_mean else [(y, math.nan) for y in found.values]
            points += [Point("ours", masks[run], words, avg_dist.mean, *mark) for mark in marks]
    return points


def evaluation_of(table: str, paper: Paper, column: str | None = None) -> tuple[str, str]:
    """Evaluation, or several of which the best counts, and metric behind a column of a table, by default its first."""
    cells = [cell for (name, _, at), cell in paper.items() if name == table and column in (None, at)]
    return (cells[0]["evaluation"], cells[0]["metric"]) if cells else ("", "")


def _number(text: str) -> float:
    """0.4 of 'ratio 0.4'."""
    return float(re.search(r"\d+(\.\d+)?", text)[0])
