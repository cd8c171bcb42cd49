"""Whether jobs can end within what a Slurm profile grants them: GPUs, hours a try, and tries (torch-free)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simmim.cluster.asked import EVERY_OTHER, Asked, asked_by, set_by
from simmim.config.reading import read_yaml
from simmim.jobs import TRAINING, Jobs
from simmim.planning.jobs import EVALUATE
from simmim.planning.rows import TO_DO, titled
from simmim.storage.paths import OUTPUTS

Row = Mapping[str, Any]
LARGE = "first_stage", "pretrain", "finetune"  # kinds of jobs whose large runs have rules of their own


def names_of_rules() -> list[str]:
    """All rules of the workflow."""
    return [*OUTPUTS, *(f"{kind}_large" for kind in LARGE), "all"]


def rules_that_train(jobs: Jobs) -> list[str]:
    """Those of them whose jobs run a network, the large ones where any run is large."""
    return [*TRAINING, *(f"{kind}_large" for kind in LARGE if jobs.sheets.config_file.large)]


@dataclass(frozen=True)
class Grant:
    """What a job of a rule is given.

    Args:
        hours: of one try; a training goes on from its last checkpoint in the next one.
    """

    gpus: int
    hours: float
    tries: int


class Limits:
    """What a Slurm profile grants the jobs of each rule.

    Args:
        jobs: which rule runs what, and which runs are large.

    Raises:
        ValueError: for a profile that is not there.
    """

    def __init__(self, profile: Path, jobs: Jobs) -> None:
        self.profile, self._jobs = profile, jobs
        self._asked, self._own = asked_by(profile), set_by(profile)
        self._tries = Asked([str(profile)], read_yaml(profile)).count("retries") + 1

    def of(self, rule: str) -> Grant:
        """What a job of a rule is given; `runtime` stands in minutes (0: no limit), `retries` follow the first try.

        Default resources give it no GPU (`simmim.cluster.checks.faults_of_names`).
        """
        resources = self._asked.get(rule, self._asked[EVERY_OTHER])
        minutes = resources.get("runtime") or math.inf
        return Grant(Asked([rule], self._own.get(rule, {})).gpus, minutes / 60, self._tries)

    def verdicts(self, rows: Sequence[Row]) -> Iterator[str]:
        """A sentence for every job that cannot end, with what to change; one for the longest where all can."""
        jobs = [row for row in rows if row["state"] == TO_DO and row["gpu_hours"]]
        faults = [fault for fault in map(self._fault, jobs) if fault]
        yield from faults
        if jobs and not faults:
            longest = max(jobs, key=lambda row: self._hours(row) / self._given_hours(row))
            hours = f"{titled(longest)}: {self._hours(longest):,.1f} of {self._given_hours(longest):,.0f} hours"
            yield f"Every job can end within {self.profile}. The nearest to its limit is {hours}."

    def _fault(self, row: Row) -> str:
        rule, grant = self._rule(row), self.of(self._rule(row))
        if not grant.gpus:
            return f"! {titled(row)} gets no GPU from {self.profile}: set-resources, {rule}, gpu."
        hours = self._hours(row)
        if hours <= self._given_hours(row):
            return ""
        given = f"{self._given_hours(row):,.0f} ({grant.tries} tries of {grant.hours:g})"
        retries, minutes = math.ceil(hours / grant.hours) - 1, math.ceil(60 * hours / grant.tries)
        return (
            f"! {titled(row)} cannot end: {hours:,.0f} hours on {grant.gpus} GPUs, {given} are given by "
            f"{self.profile}. Raise retries to {retries}, or runtime of {rule} to {minutes} (minutes)."
        )

    def _rule(self, row: Row) -> str:
        kind = self._jobs.kind_of(row["evaluation"]) if row["kind"] == EVALUATE else row["kind"]
        is_large = kind in LARGE and row["run"] in self._jobs.sheets.config_file.large
        return f"{kind}_large" if is_large else kind

    def _hours(self, row: Row) -> float:
        """Of one job; an evaluation has all its seeds in one, of anything else each is a job."""
        jobs = 1 if row["kind"] == EVALUATE else row["seeds_to_do"]
        return row["gpu_hours"] / jobs / max(1, self.of(self._rule(row)).gpus)

    def _given_hours(self, row: Row) -> float:
        grant = self.of(self._rule(row))
        return grant.hours * grant.tries
