"""Notices a loss or gradient norm far above those before it, and says so; what the training computes stays as it is.

An update spikes where its loss or gradient norm lies seven standard deviations above the log rows before it, as in the
spike score of OLMo 2 (arXiv 2501.00656), with median and median absolute deviation in place of mean and standard
deviation, which a spike would widen for the next one; and at least half as high again, for curves that are nearly flat.
PaLM (arXiv 2204.02311) goes back and leaves out the batches; here that is for people to decide.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

from simmim.train.batch_sampler import BatchSampler
from simmim.train.guard import list_samples
from simmim.train.task import TrainData

WINDOW = 50  # log rows
_ROWS_BEFORE = 10  # fewer make no median worth comparing with
_DEVIATIONS, _AT_LEAST = 7.0, 1.5
_MAD = 1.4826  # median absolute deviations of a normal distribution in one standard deviation
WATCHED = {"max_loss": "loss", "max_grad_norm": "gradient norm"}  # the largest of a row's updates

Row = Mapping[str, float]


class Spike(NamedTuple):
    """A column of the log, its value in a row, and its median over the rows before."""

    column: str
    value: float
    median: float


def spike_of(rows: Sequence[Row]) -> Spike | None:
    """What spiked in the last row of a log, if anything did; it depends on these rows only."""
    *before, last = rows[-WINDOW - 1 :]
    for column in WATCHED:
        values = [row[column] for row in before if column in row]  # rows of earlier versions have none
        if len(values) >= _ROWS_BEFORE and last.get(column, 0.0) > _limit(values):
            return Spike(column, last[column], median(values))
    return None


def count(rows: Sequence[Row]) -> int:
    """The rows of a log in which something spiked."""
    return sum(spike_of(rows[max(0, end - WINDOW - 1) : end]) is not None for end in range(1, len(rows) + 1))


def tell(
    label: str,
    rows: Sequence[Row],
    updates: Sequence[tuple[float, float]],
    sampler: BatchSampler,
    data: TrainData,
    state: Path,
) -> None:
    """On the main process, print what spiked in the last row of a log, and list its samples.

    Rows that spike in turn are told of once.

    Args:
        updates: loss and gradient norm of each update of that row.
        state: folder that `spike-########.json` is written to; it goes when the training is done, the line stays.
    """
    spike = None if sampler.rank else spike_of(rows)
    if spike is None or spike_of(rows[:-1][-WINDOW - 1 :]) is not None:
        return
    values = [update[[*WATCHED].index(spike.column)] for update in updates]
    step = int(rows[-1]["step"]) - len(values) + values.index(spike.value)
    report = state / f"spike-{step:08d}.json"
    samples = list_samples(report, step, sampler, data, **{spike.column: spike.value, "median": spike.median})
    print(
        f"{label}: spike: the {WATCHED[spike.column]} of step {step} is {spike.value:.4g}; the largest of a log row "
        f"was {spike.median:.4g} before (median). Training goes on unchanged. Its {len(samples)} samples, "
        f"listed in {report} until the training is done, begin with {', '.join(samples[:4])}; if it happens again, "
        "lower train.base_lr or clip_norm, or look at these images.",
        flush=True,
    )


def _limit(values: Sequence[float]) -> float:
    middle = median(values)
    deviation = _MAD * median(abs(value - middle) for value in values)
    return max(middle + _DEVIATIONS * deviation, _AT_LEAST * middle)
