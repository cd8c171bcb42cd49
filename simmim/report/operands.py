"""What claims compare: a score, a gain or a cost, from the records behind it."""

from __future__ import annotations

import functools
import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simmim.report.measurements import (
    ENOUGH_FOR_A_MEAN,
    LOWER_IS_BETTER,
    UNITS,
    Measurement,
    best_measurement,
    decimals_of,
    number,
    relative_cost,
    signed,
)
from simmim.report.status import NOT_RUN, TIMED_ELSEWHERE

if TYPE_CHECKING:
    import pandas as pd

    from simmim.config.claims import Claim, Operand, Score


@dataclass(frozen=True)
class Number:
    """What stands for an operand.

    Args:
        operand: what it stands for.
        label: its run, or 'one − another' for a gain.
        measured: what it is, or for a gain the two that it lies between.
    """

    operand: Operand
    label: str
    measured: tuple[Measurement, ...]

    @functools.cached_property
    def by_pretraining(self) -> pd.Series:
        """A value for each pre-training, by its seed; of a gain for each that both have."""
        first, *less = [each.by_pretraining for each in self.measured]
        return functools.reduce(operator.sub, less, first).dropna()

    @property
    def metric(self) -> str:
        """Name of the metric in the records."""
        return self.measured[0].metric

    @property
    def mean(self) -> float:
        """Mean over pre-trainings."""
        return float(self.by_pretraining.mean())

    @property
    def sign(self) -> int:
        """-1 where less is better, else 1."""
        return -1 if self.metric in LOWER_IS_BETTER else 1

    @property
    def goods(self) -> pd.Series:
        """The values with a sign by which the higher is the better."""
        return self.sign * self.by_pretraining

    @property
    def text(self) -> str:
        """`default: 45.6 ± 0.2`; a gain with its sign."""
        if len(self.measured) == 1:
            return f"{self.label}: {self.measured[0].text}"
        decimals, values = decimals_of(self.metric), self.by_pretraining
        spread = f" ± {number(values.std(), decimals)}" if len(values) >= ENOUGH_FOR_A_MEAN else ""
        return f"{self.label}: {signed(self.mean, decimals)}{spread}{UNITS.get(self.metric, '')}"


class Lookup:
    """Finds measurements in records, each once: claims share most of theirs."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self.best = functools.cache(functools.partial(best_measurement, frame))


class Operands:
    """The numbers of one claim; costs are relative to the first run that it names.

    Attributes:
        found: every score that the claim needs to its measurement, None where there is none.
    """

    def __init__(self, lookup: Lookup, claim: Claim) -> None:
        self._claim, self._lookup = claim, lookup
        self.found = {score: self._measured(score) for score in claim.scores()}

    def number(self, operand: Operand) -> Number:
        """What stands for an operand all of whose scores were measured."""
        return Number(operand, self.label(operand), tuple(self.found[score] for score in operand.scores))

    def label(self, operand: Operand) -> str:
        """What a line calls an operand: as in the sheet, so that an evaluation of its own shows."""
        return " − ".join(self._label(score) for score in operand.scores)

    def is_measured(self, operand: Operand) -> bool:
        """Whether there is a number."""
        return all(self.found[score] for score in operand.scores)

    def why_not(self, score: Score) -> str:
        """The words for a score that has no number."""
        return TIMED_ELSEWHERE if self._claim.metric == "relative_cost" and all(self._times(score)) else NOT_RUN

    def _measured(self, score: Score) -> Measurement | None:
        """Of a cost the training time over the first run's."""
        if self._claim.metric != "relative_cost":
            return self._lookup.best(*score, self._claim.metric)
        both = self._times(score)
        return relative_cost(*both) if all(both) else None

    def _times(self, score: Score) -> list[Measurement | None]:
        return [self._lookup.best(*each, "train_seconds") for each in (score, self._claim.first.operands[0].score)]

    def _label(self, score: Score) -> str:
        own = "" if score.evaluation == self._claim.evaluation else f"/{score.evaluation.split()[0]}"
        return f"{score.run}{own}"
