"""Does pre-training help? Each pre-trained run beside the same encoder from scratch, per evaluation and metric."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from simmim.report.measurements import MEAN_NOTE, measurement, metric_label
from simmim.report.scale_facts import ResultFile, ScaleFacts
from simmim.report.status import NOT_RUN, measured_by, status
from simmim.report.table import Body, Headline, Line
from simmim.report.tables._pairs import BETTER, WORSE, Pair, compared

if TYPE_CHECKING:
    from simmim.report.results import Results

title = "Pre-trained against from scratch"
section = "Does pre-training help?"

_CARD_WORDS = {  # tone and words of a headline by what the table says
    BETTER: ("good", "better than from scratch"),
    WORSE: ("bad", "worse than from scratch"),
}

_Key = tuple[str, str, str, str]  # run, baseline, evaluation, metric


def needs(facts: ScaleFacts) -> list[ResultFile]:
    """Every evaluation of the scale that is a score."""
    return facts.evaluations()


def make(results: Results, facts: ScaleFacts) -> Body:
    """One line per pre-trained run, evaluation and metric; runs without a result for an evaluation have none."""
    frame = results.records
    evaluations = facts.in_order(frame.loc[frame["metric"].isin(facts.headline_metrics), "evaluation"])
    keys = [
        (run, baseline, evaluation, metric)
        for run, baseline in facts.baselines.items()
        for evaluation in evaluations
        for metric in facts.headline_metrics
        if facts.has_from_scratch(run, evaluation) and measurement(frame, run, evaluation, metric)
    ]
    both = [Pair(measurement(frame, run, *what), measurement(frame, baseline, *what)) for run, baseline, *what in keys]
    pairs = dict(zip(keys, compared(both)))
    caption = (
        f"{MEAN_NOTE} From scratch: the same encoder with random weights, put through the same evaluation with the "
        "same labels. Difference: the mean [95 % interval by Student's t] over pre-trainings, paired by the seeds "
        "that both have; a run is better or worse where the interval has no 0 in it after Holm's correction over "
        "the lines of this table. Runs without a row for a task are not listed under it."
    )
    lines = [_line(key, pair, facts) for key, pair in pairs.items()]
    return Body(caption, lines, tuple(_headlines(pairs, facts)))


def _line(key: _Key, pair: Pair, facts: ScaleFacts) -> Line:
    run, _, evaluation, metric = key
    mine, base = pair.mine, pair.base
    cells = {
        "run": run,
        "task": facts.evaluation_label(evaluation),
        "measure": metric_label(metric),
        "pre-trained": mine.text,
        "from scratch": base.text if base else NOT_RUN,
        "difference": pair.difference,
        "n": pair.n,
        "verdict": pair.verdict,
        "scale": facts.scale,
        "status": status(mine if base else None, facts, run, evaluation),
    }
    return Line(cells, run, evaluation, metric, None, {"pre-trained": mine, "from scratch": base})


def _headlines(pairs: Mapping[_Key, Pair], facts: ScaleFacts) -> list[Headline]:
    """Those of the one run that is shown large."""
    complete = {key: pair for key, pair in pairs.items() if pair.base}
    shown = facts.shown_run(key[0] for key in complete)
    return [_headline(pair, key[2], facts) for key, pair in complete.items() if key[0] == shown]


def _headline(pair: Pair, evaluation: str, facts: ScaleFacts) -> Headline:
    tone, words = _CARD_WORDS.get(pair.verdict, ("", pair.verdict))
    number = measured_by(facts, evaluation, pair.mine.metric)
    return Headline(tone, number, pair.mine.text, f"from scratch {pair.base.text}", words)
