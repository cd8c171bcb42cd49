"""From records to what a table may claim: a value per pre-training, a mean only where there are enough of them."""

from __future__ import annotations

import functools
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

# With fewer pre-trainings no mean and no deviation is printed: every value is listed instead.
ENOUGH_FOR_A_MEAN = 3
MEAN_NOTE = (
    f"Mean ± standard deviation over pre-trainings (n) where there are at least {ENOUGH_FOR_A_MEAN}, otherwise the "
    "value of each: the mean over the evaluation seeds that start from it."
)

# Metric in the records -> how it is written beside a number.
METRIC_LABELS = {
    "top1": "top-1 (%)",
    "top5": "top-5 (%)",
    "box_ap": "box AP (%)",
    "mask_ap": "mask AP (%)",
    "miou": "mIoU (%)",
    "miou_single_scale": "mIoU, single scale (%)",
    "pixel_accuracy": "pixel accuracy (%)",
    "mean_class_accuracy": "mean class accuracy (%)",
    "loss": "training loss",
    "avg_dist": "AvgDist (px)",
    "relative_cost": "relative training time",
    "parameters_millions": "parameters of encoder and head",
    "pretrain_gmacs": "multiply-adds of pre-training",
    "finetune_parameters_millions": "parameters when fine-tuned",
    "finetune_gmacs": "multiply-adds when fine-tuned",
}
# Written right behind a number, as the paper does.
UNITS = {"relative_cost": "x", "parameters_millions": "M", "finetune_parameters_millions": "M"}
UNITS |= {"pretrain_gmacs": "G", "finetune_gmacs": "G"}

LOWER_IS_BETTER = ("loss", "validation_loss", "relative_cost")
# Of the masks themselves, over thousands of them: known without any pre-training.
OF_MASKS = ("avg_dist",)


@dataclass(frozen=True)
class Measurement:
    """One metric of one run.

    Args:
        rows: its records, one per seed of the evaluation, each at the seed's last step.
        searched: the evaluations of which it is the best, where it is the best of several.
    """

    rows: pd.DataFrame
    searched: tuple[str, ...] = ()

    @functools.cached_property
    def by_pretraining(self) -> pd.Series:
        """A value for each pre-training, by its seed: the mean over the evaluation seeds that start from it."""
        return self.rows.groupby("pretraining")["value"].agg(lambda values: values.to_numpy().mean())

    @property
    def values(self) -> list[float]:
        """One value per pre-training, in the order of their seeds."""
        return self.by_pretraining.tolist()

    @property
    def n(self) -> int:
        """How many pre-trainings there are; of fresh weights, how many draws of them."""
        return len(self.by_pretraining)

    @property
    def count(self) -> str:
        """`3`, or `1 (3 seeds)` where more evaluations than pre-trainings stand behind it."""
        return str(self.n) if self.n == len(self.rows) else f"{self.n} ({len(self.rows)} seeds)"

    @property
    def metric(self) -> str:
        """Name of the metric in the records."""
        return self.rows["metric"].iloc[0]

    @property
    def evaluation(self) -> str:
        """Name of the evaluation that measured it."""
        return self.rows["evaluation"].iloc[0]

    @property
    def is_finite(self) -> bool:
        """Whether all values are."""
        return all(map(math.isfinite, self.values))

    @functools.cached_property
    def claims_mean(self) -> bool:
        """Whether there are enough pre-trainings of the same config and data, all finite, to speak of a mean."""
        return self.n >= ENOUGH_FOR_A_MEAN and not self.is_mixed and self.is_finite

    @functools.cached_property
    def is_mixed(self) -> bool:
        """Whether the seeds were measured with different configs or data."""
        return len({*zip(self.rows["config_hash"], self.rows["data_digest"])}) > 1

    @functools.cached_property
    def mean(self) -> float:
        """Mean over pre-trainings."""
        return float(self.by_pretraining.mean())

    @functools.cached_property
    def deviation(self) -> float:
        """Sample standard deviation over pre-trainings (n - 1)."""
        return float(self.by_pretraining.std(ddof=1))

    @property
    def text(self) -> str:
        """`51.9 ± 1.2` where a mean may be claimed, else every value."""
        decimals, unit = decimals_of(self.metric), UNITS.get(self.metric, "")
        if self.claims_mean:
            return f"{number(self.mean, decimals)} ± {number(self.deviation, decimals)}{unit}"
        return ", ".join(f"{number(value, decimals)}{unit}" for value in self.values)

    def differences(self, other: float) -> str:
        """Signed difference of the mean, or of every single value, to a published number."""
        values = [self.mean] if self.claims_mean else self.values
        return ", ".join(signed(value - other, decimals_of(self.metric)) for value in values)


def measurement(
    frame: pd.DataFrame, run: str, evaluation: str, metric: str, part: str | None = None
) -> Measurement | None:
    """The records behind one number, None if there are none.

    Args:
        part: which part; by default the overall number, which for a probe is that of its chosen block and for AvgDist
            that on tokens.

    Raises:
        ValueError: for a seed that has two values at its last step.
    """
    rows = frame[(frame["run"] == run) & (frame["evaluation"] == evaluation) & (frame["metric"] == metric)]
    wanted = ("", "chosen", "tokens") if part is None else (part,)
    rows = next((found for name in wanted if len(found := rows[rows["part"] == name])), rows[:0])
    if not len(rows):
        return None
    rows = rows[rows["step"] == rows.groupby("seed")["step"].transform("max")].sort_values("seed")
    if rows["seed"].duplicated().any():
        seed, sources = rows.loc[rows["seed"].duplicated(), "seed"].iloc[0], sorted(set(rows["source"]))
        raise ValueError(f"two values of {metric} for run '{run}', {evaluation}, seed {seed}: {sources}")
    return Measurement(rows.reset_index(drop=True))


def blocks_of(rows: pd.DataFrame) -> list[str]:
    """Parts that are blocks of the encoder, from the image up: 'block 1', 'block 2'."""
    return sorted({part for part in rows["part"] if part.startswith("block ")}, key=block_number)


def block_number(part: str) -> int:
    """3 of 'block 3'."""
    return int(re.search(r"\d+", part).group())


def best_measurement(frame: pd.DataFrame, run: str, evaluations: str, metric: str) -> Measurement | None:
    """Of several evaluations the one with the highest mean; of a single one what `measurement` finds.

    Args:
        evaluations: their names as a published cell has them, with spaces between.
    """
    every = [measurement(frame, run, name, metric) for name in evaluations.split()]
    found = [each for each in every if each]
    if len(every) < 2 or not found:
        return next(iter(found), None)
    best = max(found, key=lambda each: (math.isfinite(each.mean), each.mean))
    return Measurement(best.rows, tuple(each.evaluation for each in found))


def fastest(seconds: Measurement) -> Measurement:
    """The time that a training takes: that of its fastest seed, one number.

    What else runs on a machine makes all seeds of a run slower that are trained at that time, so more seeds are no
    more observations.
    """
    if seconds.is_mixed or not seconds.is_finite:
        return seconds
    return Measurement(seconds.rows.nsmallest(1, "value").reset_index(drop=True))


def relative_cost(mine: Measurement, base: Measurement) -> Measurement | None:
    """The time that `mine` takes over that of `base`; None where these are of two kinds of CPU or GPU."""
    if {*mine.rows["device"]} != {*base.rows["device"]}:
        return None
    rows = fastest(mine).rows
    return Measurement(rows.assign(value=rows["value"] / fastest(base).mean, metric="relative_cost"))


def count_of_pretrainings(n: int) -> str:
    """`one pre-training`, `2 pre-trainings`."""
    return "one pre-training" if n == 1 else f"{n} pre-trainings"


def decimals_of(metric: str) -> int:
    """Decimals a metric is printed with: percentages one, as the paper does, losses four."""
    return 4 if "loss" in metric else 1


def number(value: float, decimals: int) -> str:
    """A number with a typographic minus, and no minus before a zero."""
    text = f"{value:.{decimals}f}"
    return text.lstrip("-") if float(text) == 0 else text.replace("-", "−")


def signed(value: float, decimals: int) -> str:
    """A difference: always with its sign, except for zero."""
    text = number(value, decimals)
    return text if text[0] == "−" or float(text) == 0 else f"+{text}"


def interval_text(interval: tuple[float, float], decimals: int) -> str:
    """`[−0.2, +1.6]`; a bound that rounds to 0 keeps its sign, on which a verdict hangs: `[+0.0, +1.6]`."""
    bounds = (f"{bound:+.{decimals}f}" if bound else number(bound, decimals) for bound in interval)
    return f"[{', '.join(bounds)}]".replace("-", "−")


def metric_label(metric: str) -> str:
    """What a reader calls a metric."""
    return METRIC_LABELS.get(metric, metric.replace("_", " "))
