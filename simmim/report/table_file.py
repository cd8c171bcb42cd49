"""A table on disk: Parquet with every record behind every cell, and Markdown."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa

from simmim.report.provenance import provenance
from simmim.report.table import NUMBERS, RECORD, TEXTS, Headline, Table
from simmim.storage import parquet

_TYPES = {str: pa.string(), int: pa.int64(), float: pa.float64()}
_TYPED = pa.schema(
    [(name, pa.string()) for name in TEXTS]
    + [(name, pa.float64()) for name in NUMBERS]
    + [("records", pa.list_(pa.struct([(name, _TYPES[kind]) for name, kind in RECORD.items()])))]
)
_SOURCES = ("source", "seeds", "steps", "config", "data", "code")


def write_parquet(shown: Table, path: Path) -> None:
    """Store a table with its title and caption in the header."""
    head = {key: json.dumps(value) for key, value in shown.head().items()}
    schema = pa.schema([(name, pa.string()) for name in shown.columns if name not in _TYPED.names] + list(_TYPED))
    stored = pa.Table.from_pylist(shown.rows, schema=schema.with_metadata(head))
    parquet.write_sealed(path, stored)


def read_parquet(path: Path) -> Table:
    """A table as `write_parquet` stored it.

    Raises:
        ValueError: for a table of another version of the package.
    """
    stored = parquet.read_sealed(path)
    try:
        head = {key.decode(): json.loads(value) for key, value in stored.schema.metadata.items()}
        headlines = tuple(Headline(*each) for each in head.pop("headlines"))
        return Table(**head, rows=stored.to_pylist(), headlines=headlines)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is a table of another version: write it again with `simmim table`") from error


def markdown(shown: Table) -> str:
    """Title, caption, table, and the files its numbers come from."""
    body = [[row[column] for column in shown.columns] for row in shown.rows]
    parts = [f"# {shown.title}", shown.caption, markdown_table(shown.columns, body)]
    if sources := provenance(shown.records()):
        lines = [[source[column] for column in _SOURCES] for source in sources]
        parts += ["## Where the numbers come from", markdown_table(_SOURCES, lines)]
    return "\n\n".join(parts) + "\n"


def markdown_table(head: Iterable[str], body: Iterable[Iterable[str]]) -> str:
    """A table in Markdown, whatever its cells hold; no line break at its end."""
    columns = list(head)
    return "\n".join(_markdown_row(cells) for cells in [columns, ["---"] * len(columns), *body])


def _markdown_row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
