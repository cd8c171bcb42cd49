"""How many samples, classes and bytes a data set has: from its packed index, else as published (torch-free)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simmim.config.sheets import Sheets
from simmim.storage import paths

# Mean size of an ImageNet image re-encoded as JPEG of quality 95, and the short side it was measured with.
_JPEG_BYTES, _JPEG_SHORT_SIDE_PX = 33_400, 256


@dataclass(frozen=True)
class DataSize:
    """One split of a data set.

    Args:
        samples: images, None where nobody knows before packing.
        classes: None where unknown, or where there are none.
        shard_bytes: of the packed set, estimated until it is packed; None where unknown.
        packed: whether it is packed already.
    """

    samples: int | None
    classes: int | None
    shard_bytes: float | None
    packed: bool


def data_size(sheets: Sheets, results: Path | str, split: Mapping[str, Any]) -> DataSize:
    """Size of what `Sheets.packed` describes, below `results` of its scale."""
    index = Path(paths.packed(str(results), split["dataset"], split["split"]))
    if index.is_file():
        found = json.loads(index.read_text(encoding="utf-8"))
        shards = sum(path.stat().st_size for path in index.parent.glob("*.parquet"))
        return DataSize(found["samples"], len(found["classes"]) or None, shards, packed=True)
    row = sheets.datasets[(split["dataset"], split["split"])]
    samples = _whole_number(row, "samples")
    return DataSize(samples, _whole_number(row, "classes"), _shard_bytes(split["pack"], samples, row), packed=False)


def published_classes(sheets: Sheets, dataset: str, split: str = "train") -> int | None:
    """Classes of a data set as datasets.tsv has them, whether it is packed or not."""
    return _whole_number(sheets.datasets[(dataset, split)], "classes")


def _shard_bytes(pack: Mapping[str, Any], samples: int | None, row: Mapping[str, str]) -> float | None:
    if pack.get("codec", "original") == "original":
        gigabytes = row.get("gigabytes", "")
        return 1e9 * float(gigabytes) if gigabytes else None
    if pack["codec"] != "jpeg" or samples is None or not pack.get("short_side_px"):
        return None
    return samples * _JPEG_BYTES * (pack["short_side_px"] / _JPEG_SHORT_SIDE_PX) ** 2


def _whole_number(row: Mapping[str, str], column: str) -> int | None:
    text = row.get(column, "")
    if text and not text.isdecimal():
        raise ValueError(f"datasets.tsv, row '{row['dataset']} {row['split']}': {column} '{text}' is no whole number")
    return int(text) if text else None
