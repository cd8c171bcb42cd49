"""How many samples, classes and bytes a data set has: from its packed index, else as published (torch-free)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from simmim.config.packing import PackSection
from simmim.config.rows import DatasetRow
from simmim.data.index import read_index
from simmim.jobs import Jobs

# Mean size of an ImageNet image with a short side of 256 px: as JPEG of quality 95, and as raw pixels.
_ENCODED_BYTES, _SHORT_SIDE_PX = {"jpeg": 33_400, "rgb8": 265_000}, 256


@dataclass(frozen=True)
class DataSize:
    """One split of a data set.

    Args:
        samples: images, None if unknown before packing.
        classes: None if unknown, or if there are none.
        shard_bytes: of the packed set, estimated until it is packed; None if unknown.
        packed: whether it is packed already.
    """

    samples: int | None
    classes: int | None
    shard_bytes: float | None
    packed: bool


def data_size(jobs: Jobs, scale: str, dataset: str, split: str) -> DataSize:
    """Size of a split of a data set at a scale."""
    index = Path(jobs.path("pack", "index", scale=scale, dataset=dataset, split=split))
    if index.is_file():
        found = read_index(index.parent)
        shards = sum(path.stat().st_size for path in index.parent.glob("*.parquet"))
        return DataSize(found["samples"], len(found["classes"]) or None, shards, packed=True)
    row, pack = jobs.sheets.datasets[dataset, split], jobs.sheets.packed(scale, dataset, split).pack
    samples, classes = int(row.samples or 0) or None, int(row.classes or 0) or None
    return DataSize(samples, classes, _shard_bytes(pack, samples, row), packed=False)


def _shard_bytes(pack: PackSection, samples: int | None, row: DatasetRow) -> float | None:
    if pack.codec == "original":
        return 1e9 * float(row.gigabytes) if row.gigabytes else None
    if pack.codec not in _ENCODED_BYTES or samples is None or pack.short_side_px is None:
        return None
    return samples * _ENCODED_BYTES[pack.codec] * (pack.short_side_px / _SHORT_SIDE_PX) ** 2
