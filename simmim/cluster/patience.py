"""Patience with a Slurm controller that does not answer.

Version 2.8.0 of Snakemake's Slurm plugin asks for the states of all jobs at once, and takes no answer for no jobs: its
list of jobs is empty from then on and Snakemake waits for ever. A submission without an answer counts as a failed try
of the job. `workflow/rules/slurm.smk` changes both here, since no setting does (docs/slurm.md says why).
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

POLL_SECONDS = 5.0
_ANSWER_SECONDS = 60.0


def teach(executor: type) -> None:
    """Make the plugin's executor class patient, once."""
    if not hasattr(executor, "in_question"):
        executor.in_question = ()  # jobs whose states are being asked for; `active_jobs` lacks them meanwhile
        executor.gives_up = False
        executor._status_query_calls = 0  # the thread that asks starts before the plugin sets it
        for name in ("check_active_jobs", "run_job", "cancel_jobs"):
            setattr(executor, name, globals()[f"_{name}"](getattr(executor, name)))


def _check_active_jobs(check: Any) -> Any:
    async def check_active_jobs(self: Any, active_jobs: Sequence[Any]) -> AsyncIterator[Any]:
        answers, self.in_question = self._status_query_calls, active_jobs
        async for job in check(self, active_jobs):
            yield job
        if self._status_query_calls == answers:  # no answer is no news
            for job in active_jobs:
                yield job
        self.in_question = ()

    return check_active_jobs


def _run_job(run: Any) -> Any:
    def run_job(self: Any, job: Any) -> None:
        while not self.gives_up and not controller_answers():
            self.logger.warning(f"the Slurm controller does not answer; job {job.jobid} is submitted when it does")
            time.sleep(POLL_SECONDS)
        run(self, job)

    return run_job


def _cancel_jobs(cancel: Any) -> Any:
    def cancel_jobs(self: Any, active_jobs: Sequence[Any]) -> None:
        self.gives_up = True
        known = {job.external_jobid: job for job in (*self.in_question, *active_jobs)}
        try:
            cancel(self, list(known.values()))
        except Exception as error:  # the rest of Snakemake's leave-taking must still happen
            self.logger.error(f"{error}; `simmim recover` finds what still runs")

    return cancel_jobs


def controller_answers() -> bool:
    """Whether Slurm's controller, or the one in reserve, answers now."""
    try:
        asked = subprocess.run(["squeue", "--noheader", "--me"], capture_output=True, timeout=_ANSWER_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return asked.returncode == 0
