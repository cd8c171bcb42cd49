"""Does pre-training help? Each pre-trained run beside the same encoder from scratch, per evaluation and metric."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simmim.report.measurements import (
    SEEDS_NOTE,
    Measurement,
    measurement,
    metric_label,
    number,
    seeds_ahead,
    signed,
    spread_of_difference,
)
from simmim.report.scale_facts import ResultFile, ScaleFacts
from simmim.report.status import NOT_RUN, NOTHING, TOO_FEW, measured_by, status
from simmim.report.table import Body, Headline, Line

if TYPE_CHECKING:
    import pandas as pd

    from simmim.report.results import Results

title = "Pre-trained against from scratch"
section = "Does pre-training help?"

_CARD_WORDS = {  # tone and words of a headline by what the table says
    "yes, better": ("good", "better than from scratch"),
    "yes, worse": ("bad", "worse than from scratch"),
    "no": ("", "no difference beyond the spread"),
    TOO_FEW: ("", "too few seeds for a verdict"),
}


def needs(facts: ScaleFacts) -> list[ResultFile]:
    """Every evaluation of the scale."""
    return facts.evaluations()


def make(results: Results, facts: ScaleFacts) -> Body:
    """One line per pre-trained run, evaluation and metric; runs without a result for an evaluation have none."""
    frame = results.records
    evaluations = facts.in_order(frame.loc[frame["metric"].isin(facts.headline_metrics), "evaluation"])
    compared = [
        (run, baseline, evaluation, metric)
        for run, baseline in facts.baselines.items()
        for evaluation in evaluations
        for metric in facts.headline_metrics
        if measurement(frame, run, evaluation, metric)
    ]
    caption = (
        f"{SEEDS_NOTE} From scratch: the same encoder with random weights, put through the same evaluation with the "
        "same labels. Spread: root of the sum of both variances; only beyond it is a run called better or worse. Seeds "
        "ahead: in how many seeds the pre-trained one is better. Runs without a row for a task are not listed under it."
    )
    return Body(caption, [_line(frame, *key, facts) for key in compared], tuple(_headlines(frame, compared, facts)))


def _line(frame: pd.DataFrame, run: str, baseline: str, evaluation: str, metric: str, facts: ScaleFacts) -> Line:
    mine, base = measurement(frame, run, evaluation, metric), measurement(frame, baseline, evaluation, metric)
    cells = {
        "run": run,
        "task": facts.evaluation_label(evaluation),
        "measure": metric_label(metric),
        "pre-trained": mine.text,
        "from scratch": base.text if base else NOT_RUN,
        "difference": NOTHING,
        "spread": NOTHING,
        "beyond spread?": NOT_RUN,
        "seeds ahead": NOTHING,
        "seeds": _seeds(mine, base),
        "scale": facts.scale,
        "status": status(mine if base else None, facts, run, evaluation),
    }
    if base:
        cells |= _compared(mine, base)
    return Line(cells, run, evaluation, metric, None, {"pre-trained": mine, "from scratch": base})


def _compared(mine: Measurement, base: Measurement) -> dict[str, str]:
    ahead = {"seeds ahead": seeds_ahead(mine, base), "beyond spread?": _verdict(mine, base)}
    if not (mine.claims_mean and base.claims_mean):
        return ahead
    spread = spread_of_difference(mine, base)
    return ahead | {"difference": signed(mine.mean - base.mean, 1), "spread": number(spread, 1)}


def _verdict(mine: Measurement, base: Measurement) -> str:
    if not (mine.claims_mean and base.claims_mean):
        return TOO_FEW
    if abs(mine.mean - base.mean) <= spread_of_difference(mine, base):
        return "no"
    return "yes, better" if mine.mean > base.mean else "yes, worse"


def _seeds(mine: Measurement, base: Measurement | None) -> str:
    return f"{len(mine.seeds)} / {len(base.seeds) if base else 0}"


def _headlines(frame: pd.DataFrame, compared: list[tuple], facts: ScaleFacts) -> list[Headline]:
    """Those of the one run that is shown large."""
    pairs = [(key, [measurement(frame, each, *key[2:]) for each in key[:2]]) for key in compared]
    pairs = [(key, both) for key, both in pairs if all(both)]
    shown = facts.shown_run(key[0] for key, _ in pairs)
    return [_headline(*both, key[2], facts) for key, both in pairs if key[0] == shown]


def _headline(mine: Measurement, base: Measurement, evaluation: str, facts: ScaleFacts) -> Headline:
    tone, verdict = _CARD_WORDS[_verdict(mine, base)]
    return Headline(tone, measured_by(facts, evaluation, mine.metric), mine.text, f"from scratch {base.text}", verdict)
