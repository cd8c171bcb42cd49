"""Parquet files with a checksum on every page: written whole or not at all, verified when they are read."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from simmim.storage.files import whole_file
from simmim.storage.reading import reading

_SEAL = b"sha256"
_CURE = "remove it, so that it is made again"
_ROWS = 65_536  # of a row group, which readers hold in memory


def write_parquet(path: Path | str, table: pa.Table) -> None:
    """Write a table as one file; what its footer says is for others to bind (the index of a packed set)."""
    with whole_file(path) as temporary:
        pq.write_table(table, temporary, write_page_checksum=True, row_group_size=_ROWS)


def write_sealed(path: Path | str, table: pa.Table) -> None:
    """Write a table with a digest of all it holds in its footer, which has no checksum itself."""
    bare = _without_seal(table)
    write_parquet(path, bare.replace_schema_metadata((bare.schema.metadata or {}) | {_SEAL: _digest(bare).encode()}))


def read_parquet(path: Path | str) -> pa.Table:
    """The table in a file; that its folders are called `key=value` adds no columns.

    Raises:
        ValueError: for a file that cannot be read, is damaged, or no Parquet.
    """
    with reading(path, "a Parquet file", _CURE):
        return pq.read_table(path, page_checksum_verification=True, partitioning=None)


def read_sealed(path: Path | str) -> pa.Table:
    """What `write_sealed` wrote, without its seal.

    Raises:
        ValueError: for a file that is damaged, or that an earlier version wrote.
    """
    return unsealed(path, read_parquet(path))


def unsealed(path: Path | str, table: pa.Table) -> pa.Table:
    """A table that was read from `path`, verified and without its seal; raises as `read_sealed`."""
    seal = (table.schema.metadata or {}).get(_SEAL)
    if seal is None:
        raise ValueError(
            f"{path} has no digest of its content: it is damaged, or an earlier version wrote it; bring its scale up "
            "to date with `simmim migrate`"
        )
    table = _without_seal(table)
    if seal != _digest(table).encode():
        raise ValueError(f"{path} is damaged: it does not have the digest it was written with")
    return table


def is_sealed(path: Path | str) -> bool:
    """Whether a file states a digest of its content."""
    with reading(path, "a Parquet file", _CURE):
        return _SEAL in (pq.read_schema(path).metadata or {})


def _without_seal(table: pa.Table) -> pa.Table:
    return table.replace_schema_metadata({k: v for k, v in (table.schema.metadata or {}).items() if k != _SEAL} or None)


def _digest(table: pa.Table) -> str:
    """Hex SHA-256 of names, values and what stands beside them."""
    result = hashlib.sha256()
    for key, value in sorted((table.schema.metadata or {}).items()):
        result.update(b"%d %s %d %s" % (len(key), key, len(value), value))
    for name, column in zip(table.schema.names, table.columns):
        result.update(name.encode())
        result.update(json.dumps(column.to_pylist(), default=_as_text).encode())
    return result.hexdigest()


def _as_text(value: Any) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
