"""Do masks rank here as in the paper? Rank correlations with the paper's scores, with AvgDist, and with its ridge."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from simmim.report.avg_dist_points import MODERATE_PX, evaluation_and_metric, needs_beside
from simmim.report.measurements import Measurement, best_measurement, interval_text, measurement, metric_label, signed
from simmim.report.scale_facts import ResultFile, ScaleFacts
from simmim.report.statistics import FEWEST_RANKED, rank_correlation
from simmim.report.status import NOT_RUN
from simmim.report.table import Body, Line, records_of

if TYPE_CHECKING:
    import pandas as pd

    from simmim.report.results import Results

title = "Masks in order: ours, the paper's, and AvgDist"
section = "Masks"

_CAPTION = (
    "Spearman's rank correlation over the masks of Table 1 that were measured here [95 % interval by Bonett and "
    "Wright, 2000, with masks as observations; +1.00 and −1.00 have none]: 1 for the same order, −1 for the reverse. A "
    "score is the mean over the pre-trainings of a mask, so that few of them, or masks that differ by less than "
    "pre-trainings do, pull a correlation with it towards 0. AvgDist need not order masks from end to end: the paper's "
    f"claim is a ridge at {MODERATE_PX[0]} to {MODERATE_PX[1]} px of its images. Nearness to it is minus the distance "
    "of a mask's published AvgDist from that range, in octaves."
)


class _Mask(NamedTuple):
    """A mask that was measured, and its published numbers."""

    score: Measurement
    avg_dist: Measurement
    paper_score: float
    paper_avg_dist: float

    @property
    def nearness(self) -> float:
        """To the paper's ridge."""
        low, high = (math.log2(bound) for bound in MODERATE_PX)
        at = math.log2(self.paper_avg_dist)
        return -max(low - at, at - high, 0.0)


def needs(facts: ScaleFacts) -> list[ResultFile]:
    """As Figure 3."""
    return needs_beside(facts, "table1")


def make(results: Results, facts: ScaleFacts) -> Body:
    """A line for each two orders that are compared."""
    masks = _masks(results.records, facts)
    score = metric_label(evaluation_and_metric(facts, "table1")[1])
    ours, papers, nearness = f"our {score}", f"the paper's {score}", "nearness of the paper's AvgDist to its ridge"
    orders: dict[str, Callable[[_Mask], float]] = {
        ours: lambda mask: mask.score.mean,
        papers: lambda mask: mask.paper_score,
        "our AvgDist": lambda mask: mask.avg_dist.mean,
        "the paper's AvgDist": lambda mask: mask.paper_avg_dist,
        nearness: lambda mask: mask.nearness,
    }
    pairs = [(ours, papers), (ours, "our AvgDist"), (ours, nearness), (papers, nearness)]
    pairs += [(papers, "the paper's AvgDist"), ("our AvgDist", "the paper's AvgDist")]
    return Body(
        _CAPTION,
        [_line(pair, [[orders[each](mask) for mask in masks] for each in pair], masks, facts) for pair in pairs],
    )


def _masks(frame: pd.DataFrame, facts: ScaleFacts) -> list[_Mask]:
    """Those that have all four numbers."""
    scores = {cell["run"]: float(cell["value"]) for cell in facts.cells("table1").values()}
    distances = {cell["run"]: float(cell["value"]) for cell in facts.cells("figure3a").values()}
    found = []
    for run in [run for run in facts.fitting_masks if run in scores and run in distances]:
        score = best_measurement(frame, run, *evaluation_and_metric(facts, "table1"))
        avg_dist = measurement(frame, run, "pretrain", "avg_dist")
        if score and score.is_finite and avg_dist:
            found.append(_Mask(score, avg_dist, scores[run], distances[run]))
    return found


def _line(pair: tuple[str, str], values: list[list[float]], masks: list[_Mask], facts: ScaleFacts) -> Line:
    found = rank_correlation(*values)
    text = f"none: fewer than {FEWEST_RANKED} masks, or all alike"
    if found:
        text = signed(found.rho, 2) + (f" {interval_text(found.interval, 2)}" if found.interval else "")
    fewest = min((mask.score.n for mask in masks), default=0)
    state = f"measured at {facts.scale} scale, {fewest} or more pre-trainings a mask" if found else NOT_RUN
    cells = {"order": pair[0], "against": pair[1], "masks": str(len(masks)), "rank correlation": text}
    behind = [record for mask in masks for record in records_of(mask.score, "rank correlation")]
    return Line(cells | {"scale": facts.scale, "status": state}, records=tuple(behind if found else ()))
