"""The plan of a target: worked out, written and printed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from simmim.jobs import Jobs
from simmim.planning.cost import Costs
from simmim.planning.gpus import Machine
from simmim.planning.jobs import groups_of
from simmim.planning.limits import Limits
from simmim.planning.printed import text_of
from simmim.planning.rows import rows_of, write
from simmim.planning.target import needed


def planned_rows(target: str, jobs: Jobs, scale: str, machine: Machine) -> list[dict[str, Any]]:
    """The plan of a target, a row for every group of jobs (`simmim.planning.rows`)."""
    files, misfits = needed(target, jobs, scale)
    return rows_of(groups_of(files, jobs), misfits, Costs(jobs, scale, machine))


def plan(target: str, jobs: Jobs, scale: str, machine: Machine, out: Path, profile: Path | None = None) -> str:
    """Write the plan of a target as Parquet to `out` and return what a terminal shows of it.

    Args:
        target: as `simmim.planning.target.needed` takes it.
        profile: of Slurm; what it grants is held against what the jobs need.

    Raises:
        ValueError: for an unknown target or scale, with the nearest valid one, and for a profile that is not there.
    """
    limits = Limits(profile, jobs) if profile else None
    rows = planned_rows(target, jobs, scale, machine)
    settings = {"gpu": machine.name, "utilisation": machine.utilisation, "gpus": machine.gpus}
    write(out, rows, target=target, scale=scale, **settings)
    verdicts = limits.verdicts(rows) if limits else ["No Slurm profile was looked at (--profile)."]
    return f"{text_of(target, scale, rows, machine, verdicts)}\n\nAll of it: {out}"
