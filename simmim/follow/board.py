"""Which jobs run, how far each has come, and how long it may take until all are done."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, median

from simmim.follow.job_log import State, last_state


@dataclass(frozen=True)
class Job:
    """A job that runs."""

    rule: str
    name: str
    log: Path | None
    began: float


@dataclass
class Board:
    """What is known of a run of Snakemake.

    Args:
        clock: seconds of a clock that never goes back.
        planned: by rule, how many jobs there are in all.
        running: by Snakemake's number of the job.
        took: by rule, the seconds of the jobs that are done.
        failed: name of every job that failed and was not started again, to its rule.
    """

    clock: Callable[[], float] = time.monotonic
    planned: dict[str, int] = field(default_factory=dict)
    running: dict[int, Job] = field(default_factory=dict)
    took: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    failed: dict[str, str] = field(default_factory=dict)
    most_at_once: int = 1

    def __post_init__(self) -> None:
        self.began = self.clock()

    def start(self, number: int, rule: str, wildcards: Mapping[str, str], log: Path | None) -> None:
        """A job has begun."""
        values = [f"{key} {text}" if text.isdigit() else text for key, text in wildcards.items() if key != "scale"]
        job = self.running[number] = Job(rule, " ".join([rule, *values]), log, self.clock())
        self.failed.pop(job.name, None)
        self.most_at_once = max(self.most_at_once, len(self.running))

    def finish(self, number: int) -> str:
        """A job is done; returns the line about it, '' for one whose beginning was not told."""
        job = self.running.pop(number, None)
        if job is None:
            return ""
        self.took[job.rule].append(self.clock() - job.began)
        return f"[{self.time()}] {self.done}/{self.total} {job.name} ({duration(self.took[job.rule][-1])})"

    def fail(self, number: int, rule: str) -> str:
        """A job has failed; returns its name."""
        job = self.running.pop(number, None)
        name = job.name if job else rule
        self.failed[name] = rule
        return name

    @property
    def done(self) -> int:
        """Jobs that are done."""
        return sum(map(len, self.took.values()))

    @property
    def total(self) -> int:
        """Jobs in all, as far as it was told."""
        return max(sum(self.planned.values()), self.done + len(self.running))

    def time(self) -> str:
        """Time since the beginning."""
        return duration(self.clock() - self.began)

    def summary(self) -> str:
        """One line about all jobs."""
        if not self.total:
            return f"[{self.time()}] finding out what is to be done"
        parts = [f"{self.done} of {self.total} jobs done"]
        parts += [f"{len(self.running)} running"] if self.running else []
        parts += [f"{len(self.failed)} failed ({', '.join(self.failed)})"] if self.failed else []
        left = self.seconds_left()
        parts += [f"about {duration(left)} to go"] if self.running and left is not None else []
        return f"[{self.time()}] {', '.join(parts)}"

    def lines(self) -> list[tuple[str, str]]:
        """Of every running job its name and how far it has come."""
        return [self._line(job) for job in self.running.values()]

    def _line(self, job: Job) -> tuple[str, str]:
        label, text = last_state(job.log)
        return label or job.name, f"{text} ({duration(self.clock() - job.began)})".strip()

    def seconds_left(self) -> float | None:
        """Until all is done: jobs to come take as long as others of their rule; None where nothing tells how long."""
        lengths = {job: self._length(job) for job in self.running.values()}
        by_rule = defaultdict(list, {rule: [*seconds] for rule, seconds in self.took.items()})
        for job, length in lengths.items():
            by_rule[job.rule] += [length] if length else []
        known = {rule: mean(seconds) for rule, seconds in by_rule.items() if seconds}
        if not known:
            return None
        unknown, begun = median(known.values()), Counter(job.rule for job in lengths) + Counter(self.failed.values())
        to_come = {rule: count - begun[rule] - len(self.took[rule]) for rule, count in self.planned.items()}
        work = sum(max(count, 0) * known.get(rule, unknown) for rule, count in to_come.items())
        rest = [max((length or known.get(job.rule, unknown)) - self._age(job), 0) for job, length in lengths.items()]
        return max([(work + sum(rest)) / self.most_at_once, *rest])

    def _age(self, job: Job) -> float:
        return self.clock() - job.began

    def _length(self, job: Job) -> float | None:
        """Of a running job that says when it will be done."""
        state: State = last_state(job.log)
        return None if state.seconds_left is None else self._age(job) + state.seconds_left


def duration(seconds: float) -> str:
    """Minutes and seconds, or hours too: 1:01, 2:02:05."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
