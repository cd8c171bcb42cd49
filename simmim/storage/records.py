"""The one schema of every measured number: written by training and evaluation, read by the report."""

from __future__ import annotations

import functools
import hashlib
import json
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from simmim.storage.files import whole_file

SCHEMA = pa.schema(
    [
        ("scale", pa.string()),
        ("run", pa.string()),
        ("task", pa.string()),
        ("seed", pa.int64()),
        ("step", pa.int64()),
        ("metric", pa.string()),
        ("detail", pa.string()),
        ("value", pa.float64()),
        ("config_hash", pa.string()),
        ("data_digest", pa.string()),
        ("code_version", pa.string()),
    ]
)


@dataclass(frozen=True)
class Origin:
    """Where a number comes from.

    Args:
        task: "pretrain" or the name of an evaluation.
        config_hash: `config_hash` of the completed config.
        data_digest: digest of the packed data set the number was measured with.
    """

    scale: str
    run: str
    task: str
    seed: int
    config_hash: str
    data_digest: str
    code_version: str


def record(origin: Origin, step: int, metric: str, value: float, detail: str = "") -> dict[str, Any]:
    """One row of the schema. `detail` tells apart values of one metric: a block, a class, a split."""
    return asdict(origin) | {"step": step, "metric": metric, "value": float(value), "detail": detail}


def write(path: Path | str, rows: Iterable[Mapping[str, Any]], **metadata: Any) -> None:
    """Write rows to a Parquet file, whole or not at all; metadata values are stored as JSON in its header."""
    header = {key: json.dumps(value, sort_keys=True) for key, value in metadata.items()}
    table = pa.Table.from_pylist([dict(row) for row in rows], schema=SCHEMA.with_metadata(header))
    with whole_file(path) as temporary:
        pq.write_table(table, temporary, write_page_checksum=True)


def read(paths: Iterable[Path | str]) -> pd.DataFrame:
    """Rows of several files in one frame, with the file each row came from in `source`; checksums are verified."""
    frames = [pa.Table.to_pandas(_read_table(path)).assign(source=str(path)) for path in paths]
    empty = SCHEMA.empty_table().to_pandas().assign(source="")
    return pd.concat(frames, ignore_index=True) if frames else empty


def metadata(path: Path | str) -> dict[str, Any]:
    """What `write` stored beside the rows."""
    header = _read_table(path).schema.metadata or {}
    return {key.decode(): json.loads(value) for key, value in header.items() if not key.startswith(b"pandas")}


def _read_table(path: Path | str) -> pa.Table:
    table = pq.read_table(path, page_checksum_verification=True, partitioning=None)
    if table.schema.names != SCHEMA.names:
        raise ValueError(f"{path} is not a file of records: its columns are {table.schema.names}")
    return table


def config_hash(config: Mapping[str, Any]) -> str:
    """Twelve hex digits that change with any value of a config."""
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:12]


@functools.cache
def code_version() -> str:
    """Commit of the working copy (where there is one) and digest of the package's source files."""
    package = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes())
    command = ["git", "-C", str(package), "rev-parse", "--short=10", "HEAD"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10)
        commit = answer.stdout.strip() if answer.returncode == 0 else "no-git"
    except (OSError, subprocess.TimeoutExpired):
        commit = "no-git"
    return f"{commit}+{digest.hexdigest()[:10]}"
