"""Does pre-training help? Each pre-trained run beside the same encoder from scratch, per evaluation and metric."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from simmim.report.measurements import (
    MEAN_NOTE,
    Measurement,
    count_of_pretrainings,
    interval_text,
    measurement,
    metric_label,
    signed,
)
from simmim.report.scale_facts import ResultFile, ScaleFacts
from simmim.report.statistics import LEVEL, Comparison, compare_all, sizes
from simmim.report.status import NOT_RUN, NOTHING, measured_by, status, trouble
from simmim.report.table import Body, Headline, Line

if TYPE_CHECKING:
    import pandas as pd

    from simmim.report.results import Results

title = "Pre-trained against from scratch"
section = "Does pre-training help?"

BETTER, WORSE, UNDECIDED = "better", "worse", "undecided"
_CARD_WORDS = {  # tone and words of a headline by what the table says
    BETTER: ("good", "better than from scratch"),
    WORSE: ("bad", "worse than from scratch"),
}

_Key = tuple[str, str, str, str]  # run, baseline, evaluation, metric


class _Pair(NamedTuple):
    """A pre-trained run, its baseline, and their difference with p corrected; None where there is none."""

    mine: Measurement
    base: Measurement | None
    compared: Comparison | None

    @property
    def trouble(self) -> str:
        """Why they cannot be compared."""
        return trouble(self.mine) or (trouble(self.base) if self.base else "")

    @property
    def verdict(self) -> str:
        """`better`, `worse`, or `undecided` and why."""
        if self.trouble:
            return f"no verdict: {self.trouble}"
        if self.compared is None:
            return f"{UNDECIDED} ({count_of_pretrainings(min(self.mine.n, self.base.n))})"
        if self.compared.p > LEVEL:
            return UNDECIDED
        return BETTER if self.compared.difference > 0 else WORSE


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
        if measurement(frame, run, evaluation, metric)
    ]
    pairs = dict(zip(keys, _pairs(frame, keys)))
    caption = (
        f"{MEAN_NOTE} From scratch: the same encoder with random weights, put through the same evaluation with the "
        "same labels. Difference: the mean [95 % interval by Student's t] over pre-trainings, paired by seed where "
        "both have the same; a run is better or worse where the interval has no 0 in it after Holm's correction over "
        "the lines of this table. Runs without a row for a task are not listed under it."
    )
    lines = [_line(key, pair, facts) for key, pair in pairs.items()]
    return Body(caption, lines, tuple(_headlines(pairs, facts)))


def _pairs(frame: pd.DataFrame, keys: list[_Key]) -> list[_Pair]:
    """What is compared, corrected for each other."""
    pairs = [
        _Pair(measurement(frame, run, *what), measurement(frame, baseline, *what), None)
        for run, baseline, *what in keys
    ]
    sound = [(n, pair) for n, pair in enumerate(pairs) if pair.base and not pair.trouble]
    for (n, pair), found in zip(
        sound, compare_all([(pair.mine.by_pretraining, pair.base.by_pretraining) for _, pair in sound])
    ):
        pairs[n] = pair._replace(compared=found)
    return pairs


def _line(key: _Key, pair: _Pair, facts: ScaleFacts) -> Line:
    run, _, evaluation, metric = key
    mine, base, found = pair
    difference = NOTHING if base is None or pair.trouble else signed(mine.mean - base.mean, 1)
    cells = {
        "run": run,
        "task": facts.evaluation_label(evaluation),
        "measure": metric_label(metric),
        "pre-trained": mine.text,
        "from scratch": base.text if base else NOT_RUN,
        "difference": f"{difference} {interval_text((found.low, found.high), 1)}" if found else difference,
        "n": sizes(mine.by_pretraining, base.by_pretraining) if base else mine.count,
        "verdict": pair.verdict if base else NOT_RUN,
        "scale": facts.scale,
        "status": status(mine if base else None, facts, run, evaluation),
    }
    return Line(cells, run, evaluation, metric, None, {"pre-trained": mine, "from scratch": base})


def _headlines(pairs: Mapping[_Key, _Pair], facts: ScaleFacts) -> list[Headline]:
    """Those of the one run that is shown large."""
    complete = {key: pair for key, pair in pairs.items() if pair.base}
    shown = facts.shown_run(key[0] for key in complete)
    return [_headline(pair, key[2], facts) for key, pair in complete.items() if key[0] == shown]


def _headline(pair: _Pair, evaluation: str, facts: ScaleFacts) -> Headline:
    tone, words = _CARD_WORDS.get(pair.verdict, ("", pair.verdict))
    number = measured_by(facts, evaluation, pair.mine.metric)
    return Headline(tone, number, pair.mine.text, f"from scratch {pair.base.text}", words)
