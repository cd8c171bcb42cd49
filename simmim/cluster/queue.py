"""Jobs of this folder in Slurm's queue, whoever submitted them: a Snakemake that was killed leaves its jobs behind."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

POLL_SECONDS = 10.0
_FIELDS = "%i|%T|%M|%k|%Z"  # number, state, time used, the plugin's comment, working folder


@dataclass(frozen=True)
class Queued:
    """A job in the queue."""

    number: str
    state: str
    used: str
    what: str

    def __str__(self) -> str:
        return f"{self.number}  {self.state.lower():10}  {self.used:>10}  {self.what}"


def jobs_of(folder: Path) -> list[Queued]:
    """Jobs of this user whose working folder this is.

    Raises:
        ValueError: where Slurm does not say.
    """
    command = ["squeue", "--me", "--noheader", f"--format={_FIELDS}"]
    answer = subprocess.run(command, capture_output=True, text=True)
    if answer.returncode:
        raise ValueError(f"squeue cannot say what is in the queue: {answer.stderr.strip()}")
    lines = [line.split("|") for line in answer.stdout.splitlines()]
    return [Queued(*line[:4]) for line in lines if Path("|".join(line[4:])) == folder.resolve()]


def cancel(jobs: Sequence[Queued]) -> None:
    """Ask Slurm to end jobs, as a time limit would: TERM first.

    Raises:
        ValueError: where Slurm does not end all of them.
    """
    answer = subprocess.run(["scancel", *(job.number for job in jobs)], capture_output=True, text=True)
    if answer.returncode:
        raise ValueError(f"scancel did not end every job: {' '.join(answer.stderr.split())}; give the command again")


def wait_for_none(folder: Path) -> None:
    """Return when no job of a folder is in the queue."""
    while jobs_of(folder):
        time.sleep(POLL_SECONDS)
