"""Where the numbers of tables come from: one line per result file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from simmim.report.status import NOTHING

COLUMNS = ("source", "run", "evaluation", "seeds", "steps", "config", "data", "code")
_KEYS = {"run": "run", "evaluation": "evaluation", "seeds": "seed", "steps": "step"}
_KEYS |= {"config": "config_hash", "data": "data_digest", "code": "code_version"}
_LONGEST = 40  # characters; the Parquet file of the table holds all of a longer digest


def provenance(records: Iterable[Mapping[str, Any]]) -> list[dict[str, str]]:
    """One line per result file: `COLUMNS` of the records that were used from it, and the `anchor` of its line."""
    files: dict[str, list[Mapping[str, Any]]] = {}
    for record in records:
        files.setdefault(record["source"], []).append(record)
    return [_line(source, rows) for source, rows in sorted(files.items())]


def anchor(record: Mapping[str, Any]) -> str:
    """Id of the provenance line of the file that a record comes from."""
    kept = "".join(character if character.isalnum() or character == "_" else "-" for character in record["source"])
    return f"from-{kept}"


def _line(source: str, rows: list[Mapping[str, Any]]) -> dict[str, str]:
    shown = {column: _distinct(rows, key) for column, key in _KEYS.items()}
    return {"source": source, "anchor": anchor(rows[0])} | shown


def _distinct(rows: list[Mapping[str, Any]], key: str) -> str:
    values = sorted({row[key] for row in rows if row[key] is not None})
    return ", ".join(_short(str(value)) for value in values) or NOTHING


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:12]}…"
