"""Whether what jobs read and write has its place: sources of data, and room on the disk."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from glob import glob
from pathlib import Path
from typing import Any

from simmim.config.models import DataConfig
from simmim.jobs import Jobs

_PATHS = "$data", "/", "~"  # how the paths of what a user brings begin; demo data are made by a job


def data_to_pack(rows: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Data set and split of a plan's rows that are to be packed."""
    return [(row["run"], row["evaluation"]) for row in rows if row["kind"] == "data" and row["state"] == "to do"]


def missing_sources(jobs: Jobs, packed: Iterable[DataConfig]) -> list[str]:
    """A sentence for every folder or file that data sets are packed from and that is not there."""
    wanted = {path: config for config in packed for path in _paths(config)}
    return [
        f"data set {config.dataset} has no {jobs.sheets.located(path)}: config/README.md says where data lie"
        for path, config in sorted(wanted.items())
        if not _is_there(jobs.sheets.located(path))
    ]


def _is_there(path: str) -> bool:
    """Whether there is a file or folder of this name, brackets and all, or one that it is a pattern of."""
    return Path(path).exists() or bool(glob(path))


def _paths(config: DataConfig) -> Iterator[str]:
    for value in config.source.settings.values():
        if isinstance(value, str) and value.startswith(_PATHS):
            yield value


def disk_faults(rows: Iterable[Mapping[str, Any]], folder: Path, at_a_time: int | None = 1) -> list[str]:
    """A sentence where a plan's rows leave more than a folder's disk has room for.

    Features count although they go when they were read: many may be there at a time.

    Args:
        at_a_time: jobs that may run together, those with the largest checkpoints; None for all.
    """
    to_do = [row for row in rows if row["state"] == "to do"]
    checkpoints = [row["checkpoint_bytes"] or 0 for row in to_do for _ in range(_jobs(row))]
    needed = sum(row["disk_bytes"] or 0 for row in to_do) + sum(sorted(checkpoints, reverse=True)[:at_a_time])
    while not folder.exists():
        folder = folder.absolute().parent
    free = shutil.disk_usage(folder).free
    if needed <= free:
        return []
    return [f"{needed / 1e9:,.0f} GB are to be written (estimate) and {folder} has {free / 1e9:,.0f} GB: make room"]


def _jobs(row: Mapping[str, Any]) -> int:
    """Of a row to do: one for all seeds of an evaluation, and for each of anything else."""
    return 1 if row["kind"] == "evaluate" else row.get("seeds_to_do") or 1
