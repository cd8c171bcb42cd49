"""Puts a job that was stopped back into Slurm's queue: a try that progressed uses up none of Snakemake's retries."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping

MINUTES = "SIMMIM_MAX_RUNTIME"  # what the workflow grants a job; set by hand nowhere
_UNTIL_IT_IS_ENDED = 60.0  # seconds in which Slurm ends a job that it runs again


def put_back(environment: Mapping[str, str]) -> None:
    """Ask Slurm to run this job of the workflow again, and wait for the end of this run; nothing elsewhere.

    One process of a job asks. Where Slurm refuses (a cancelled job), the job ends as it is, and Snakemake decides.
    """
    job = environment.get("SLURM_JOB_ID")
    if not job or MINUTES not in environment or environment.get("RANK", "0") != "0":
        return
    asked = subprocess.run(["scontrol", "requeue", job], capture_output=True, text=True, check=False)
    if asked.returncode == 0:
        print(f"Slurm runs job {job} again", flush=True)
        time.sleep(_UNTIL_IT_IS_ENDED)
