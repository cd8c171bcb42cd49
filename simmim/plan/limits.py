"""Whether jobs can end within what a Slurm profile grants them: GPUs, hours a try, and tries (torch-free)."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simmim.config.reading import read_yaml
from simmim.plan.jobs import EVALUATE
from simmim.plan.rows import TO_DO, name_of

Row = Mapping[str, Any]


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
        rule_of: evaluation to the rule that runs it.

    Raises:
        ValueError: for a profile that is not there.
    """

    def __init__(self, profile: Path, rule_of: Callable[[str], str]) -> None:
        if not profile.is_file():
            raise ValueError(f"there is no Slurm profile {profile}; name yours with --profile")
        self.profile, self._rule_of = profile, rule_of
        self._given = read_yaml(profile)

    def of(self, rule: str) -> Grant:
        """What a job of a rule is given; `runtime` stands in minutes, `retries` follow the first try."""
        own = self._given.get("set-resources", {}).get(rule, {})
        resources = self._given.get("default-resources", {}) | own
        tries = self._given.get("retries", 0) + 1
        return Grant(int(resources.get("gpu", 0)), self._hours_a_try(rule, resources), tries)

    def _hours_a_try(self, rule: str, resources: Mapping[str, Any]) -> float:
        runtime = resources.get("runtime", math.inf)
        written = re.fullmatch(r"(inf|[\d.]+) ?([dhm]?)", str(runtime))
        if not written:
            raise ValueError(f"{self.profile}: runtime '{runtime}' of {rule} is no time; write minutes, 12h or 3d")
        return float(written[1]) * {"d": 24, "h": 1}.get(written[2], 1 / 60)

    def verdicts(self, rows: Sequence[Row]) -> Iterator[str]:
        """A sentence for every job that cannot end, with what to change; one for the longest where all can."""
        jobs = [row for row in rows if row["state"] == TO_DO and row["gpu_hours"]]
        faults = [fault for fault in map(self._fault, jobs) if fault]
        yield from faults
        if jobs and not faults:
            longest = max(jobs, key=lambda row: self._hours(row) / self._given_hours(row))
            hours = f"{_name(longest)}: {self._hours(longest):,.1f} of {self._given_hours(longest):,.0f} hours"
            yield f"Every job can end within {self.profile}. The nearest to its limit is {hours}."

    def _fault(self, row: Row) -> str:
        rule, grant = self._rule(row), self.of(self._rule(row))
        if not grant.gpus:
            return f"! {_name(row)} gets no GPU from {self.profile}: set-resources, {rule}, gpu."
        hours = self._hours(row)
        if hours <= self._given_hours(row):
            return ""
        given = f"{self._given_hours(row):,.0f} ({grant.tries} tries of {grant.hours:g})"
        retries, minutes = math.ceil(hours / grant.hours) - 1, math.ceil(60 * hours / grant.tries)
        return (
            f"! {_name(row)} cannot end: {hours:,.0f} hours on {grant.gpus} GPUs, {given} are given by {self.profile}. "
            f"Raise retries to {retries}, or runtime of {rule} to {minutes} (minutes)."
        )

    def _rule(self, row: Row) -> str:
        return self._rule_of(row["evaluation"]) if row["kind"] == EVALUATE else row["kind"]

    def _hours(self, row: Row) -> float:
        """Of one job; an evaluation has all its seeds in one, of anything else each is a job."""
        jobs = 1 if row["kind"] == EVALUATE else row["seeds_to_do"]
        return row["gpu_hours"] / jobs / max(1, self.of(self._rule(row)).gpus)

    def _given_hours(self, row: Row) -> float:
        grant = self.of(self._rule(row))
        return grant.hours * grant.tries


def _name(row: Row) -> str:
    return f"{name_of(row)} ({row['kind'].replace('_', ' ')})"
