"""Jobs of this folder in Slurm's queue, whoever submitted them: a Snakemake that was killed leaves its jobs behind."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

POLL_SECONDS = 10.0
_SECONDS = 120
_FIELDS = "%A|%T|%M|%k|%Z"  # number, state, time used, the plugin's comment, working folder


@dataclass(frozen=True)
class Queued:
    """A job in the queue."""

    number: str
    state: str
    used: str
    what: str

    def __str__(self) -> str:
        return f"{self.number}  {self.state.lower():10}  {self.used:>10}  {self.what}"


def answer_to(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """What a command of Slurm says.

    Raises:
        ValueError: where there is no such command, or no answer.
    """
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS)
    except FileNotFoundError:
        raise ValueError(
            f"there is no {command[0]} here: start on a node of the cluster that may submit jobs"
        ) from None
    except subprocess.TimeoutExpired:
        raise ValueError(
            f"the Slurm controller did not answer {command[0]} for {_SECONDS} s; try again later"
        ) from None


def jobs_of(folder: Path) -> list[Queued]:
    """Jobs of this user whose working folder this is, but for the one that asks.

    Raises:
        ValueError: where Slurm does not say.
    """
    answer = answer_to(["squeue", "--me", "--noheader", f"--format={_FIELDS}"])
    if answer.returncode:
        raise ValueError(f"squeue cannot say what is in the queue: {answer.stderr.strip()}")
    lines = [line.split("|") for line in answer.stdout.splitlines()]
    others = [line for line in lines if line[0] != os.environ.get("SLURM_JOB_ID")]
    return [Queued(*line[:4]) for line in others if Path("|".join(line[4:])) == folder.resolve()]


def cancel(jobs: Sequence[Queued]) -> None:
    """Ask Slurm to end jobs, as a time limit would: TERM first.

    Raises:
        ValueError: where Slurm does not end all of them.
    """
    answer = answer_to(["scancel", *(job.number for job in jobs)])
    if answer.returncode:
        raise ValueError(f"scancel did not end every job: {' '.join(answer.stderr.split())}; give the command again")


def wait_for_none(folder: Path) -> None:
    """Return when no job of a folder is in the queue; an outage of the controller is waited out."""
    while _may_have_jobs(folder):
        time.sleep(POLL_SECONDS)


def _may_have_jobs(folder: Path) -> bool:
    try:
        return bool(jobs_of(folder))
    except ValueError as error:
        print(f"{error}; it is asked again", flush=True)
        return True
