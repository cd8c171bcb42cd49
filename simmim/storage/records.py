"""The one schema of every measured number: written by training and evaluation, read by the report."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyarrow.parquet import read_schema

from simmim.storage.parquet import read_parquet, unsealed, write_sealed

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = pa.schema(
    [
        ("scale", pa.string()),
        ("run", pa.string()),
        ("evaluation", pa.string()),
        ("dataset", pa.string()),
        ("part", pa.string()),
        ("seed", pa.int64()),
        ("step", pa.int64()),
        ("metric", pa.string()),
        ("value", pa.float64()),
        ("config_hash", pa.string()),
        ("data_digest", pa.string()),
        ("encoder_digest", pa.string()),
        ("code_version", pa.string()),
    ]
)
_FIRST_COLUMNS = {"task", "detail"}  # of version 0.1


@dataclass(frozen=True)
class Origin:
    """Where a number comes from.

    Args:
        evaluation: a row of evaluate.tsv, or "pretrain" or "size".
        dataset: the data set that it was measured on, "" where there is none.
        config_hash: of the config of its job.
        data_digest: of the packed data set that it was measured on.
        encoder_digest: of the encoder file that the evaluation started from, "" where there is none.
    """

    scale: str
    run: str
    evaluation: str
    seed: int
    config_hash: str
    code_version: str
    dataset: str = ""
    data_digest: str = ""
    encoder_digest: str = ""


def record(origin: Origin, step: int, metric: str, value: float, part: str = "") -> dict[str, Any]:
    """One row of the schema. `part` tells apart values of one metric: a block, a class, a kind of element."""
    return asdict(origin) | {"step": step, "metric": metric, "value": float(value), "part": part}


def write(path: Path | str, rows: Iterable[Mapping[str, Any]], **metadata: Any) -> None:
    """Write rows to a Parquet file, whole or not at all; metadata values are stored as JSON in its header."""
    header = {key: json.dumps(value, sort_keys=True) for key, value in metadata.items()}
    table = pa.Table.from_pylist([dict(row) for row in rows], schema=SCHEMA.with_metadata(header))
    write_sealed(path, table)


def read(paths: Iterable[Path | str]) -> pd.DataFrame:
    """Rows of several files in one frame, with the file each row came from in `source`; checksums are verified.

    Raises:
        ValueError: for a file of other columns, saying how to go on.
    """
    import pandas as pd  # not where records are only written

    frames = [pa.Table.to_pandas(_read_table(path)).assign(source=str(path)) for path in paths]
    empty = SCHEMA.empty_table().to_pandas().assign(source="")
    return pd.concat(frames, ignore_index=True) if frames else empty


def device(path: Path | str) -> str:
    """The CPU or GPU that a file's numbers were made on, as `write` was told; "" where it was not."""
    head = read_schema(path).metadata or {}
    return json.loads(head.get(b"environment", b"{}")).get("device", "")


def metadata(path: Path | str) -> dict[str, Any]:
    """What `write` stored beside the rows."""
    header = _read_table(path).schema.metadata or {}
    return {key.decode(): json.loads(value) for key, value in header.items() if not key.startswith(b"pandas")}


def _read_table(path: Path | str) -> pa.Table:
    table = read_parquet(path)
    if table.schema.names == SCHEMA.names:
        return unsealed(path, table)
    if {*table.schema.names} >= _FIRST_COLUMNS:
        raise ValueError(f"{path} was written by version 0.1; bring its scale up to date with `simmim migrate`")
    raise ValueError(f"{path} is not a file of records: its columns are {table.schema.names}")
