"""Which data sets of a scale are packed, and whether their sources are still those that were packed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from simmim.config.errors import DoesNotFit
from simmim.config.models import DataConfig
from simmim.config.scale import EXTRA
from simmim.data.adapter import adapter
from simmim.data.index import read_index, source_changed
from simmim.jobs import Jobs


def packed_sets(jobs: Jobs, scale: str) -> Iterator[tuple[DataConfig, Path]]:
    """The data sets that the roles of a scale name and that are packed, with their folders."""
    roles = jobs.sheets.checked_scale(scale).datasets
    splits = {role: ("train", "val")[role.endswith(EXTRA) :] for role in roles}
    wanted = {(name, split) for role, names in roles.items() for name in names for split in splits[role]}
    for dataset, split in sorted(wanted):
        index = Path(jobs.path("pack", "index", scale=scale, dataset=dataset, split=split))
        if index.exists():
            yield jobs.sheets.packed(scale, dataset, split), index.parent


def changed_sources(jobs: Jobs, scale: str) -> list[str]:
    """One line for every packed set whose source is not what it was; names, sizes and times of files are read."""
    lines = []
    for config, folder in packed_sets(jobs, scale):
        try:
            changed = source_changed(read_index(folder), adapter(config, jobs.sheets.located))
        except DoesNotFit:
            continue
        except (ValueError, OSError) as error:
            lines.append(f"{folder}: its source cannot be compared: {error}")
            continue
        if changed:
            lines.append(f"{folder}: its source has changed since it was packed; to pack it again, remove {folder}")
    return lines


def other_counts(jobs: Jobs, scale: str) -> list[str]:
    """One line for every packed set that has not as many images or classes as config/datasets.tsv says."""
    lines = []
    for config, folder in packed_sets(jobs, scale):
        row, index = jobs.sheets.datasets[config.dataset, config.split], read_index(folder)
        for what, stated, found in (
            ("images", row.samples, index["samples"]),
            ("classes", row.classes, len(index["classes"])),
        ):
            if stated and int(stated) != found:
                lines.append(
                    f"{folder}: {found:,} {what}, and config/datasets.tsv says {int(stated):,}; mend the source and "
                    f"remove {folder} to pack it again, or correct the sheet"
                )
    return lines
