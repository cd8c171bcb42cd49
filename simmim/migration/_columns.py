"""Hashes and digests in stored tables."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from simmim.storage.parquet import read_parquet, write_sealed
from simmim.storage.reading import reading

CONFIGS = {"pretraining", "config_hash"}  # keys that hold the hash of a config
DIGESTS = {"encoder_digest", "tokenizer_sha256"}  # keys that hold the digest of a model file


def config_of(path: Path) -> dict[str, Any]:
    """The config in the header of records."""
    with reading(path, "a file of records", "remove it"):
        return json.loads(pq.read_schema(path).metadata[b"config"])


def columns_of(path: Path) -> list[str]:
    """Names of a table's columns."""
    with reading(path, "a Parquet file", "remove it"):
        return pq.read_schema(path).names


def rename_columns(path: Path, config: Mapping[str, Any] | None, names: Mapping[str, str]) -> bool:
    """Write a table with new names in its columns, and records with their config; whether anything changed.

    Args:
        config: of records, None for a table that has none.
        names: old hash or digest to the new one.
    """
    table = before = read_parquet(path)
    for column in [name for name in table.schema.names if name in CONFIGS | DIGESTS]:
        renewed = pa.array([names.get(each, each) for each in table[column].to_pylist()], pa.string())
        table = table.set_column(table.schema.get_field_index(column), column, renewed)
    if config is not None:
        stated = {b"config": json.dumps(config, sort_keys=True).encode()}
        table = table.replace_schema_metadata(table.schema.metadata | stated)
    changed = not table.equals(before, check_metadata=True)
    if changed:
        write_sealed(path, table)
    return changed
