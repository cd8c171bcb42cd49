"""Parquet files with a checksum on every page: written whole or not at all, verified when they are read."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from simmim.storage.files import whole_file


def write_parquet(path: Path | str, table: pa.Table) -> None:
    """Write a table as one file."""
    with whole_file(path) as temporary:
        pq.write_table(table, temporary, write_page_checksum=True)


def read_parquet(path: Path | str) -> pa.Table:
    """The table in a file; that its folders are called `key=value` adds no columns.

    Raises:
        OSError: for a page whose checksum is wrong.
    """
    return pq.read_table(path, page_checksum_verification=True, partitioning=None)
