"""Sheets and recipes as they are written: tab-separated rows, `key=value` cells, strict YAML (torch-free)."""

from __future__ import annotations

import csv
import functools
import shlex
from pathlib import Path
from typing import Any

import yaml


def read_sheet(path: Path, key: tuple[str, ...]) -> dict[tuple[str, ...], dict[str, str]]:
    """Rows of a tab-separated sheet by their key columns; lines that start with '#' are comments.

    Raises:
        ValueError: for a missing sheet or column, a row with the wrong number of cells, or a duplicate key.
    """
    if not path.is_file():
        raise ValueError(f"{path} is missing")
    lines = [(n, text) for n, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1) if text.strip()]
    rows = [(n, cells) for (n, text), cells in zip(lines, csv.reader((t for _, t in lines), "excel-tab"))]
    rows = [(n, [cell.strip() for cell in cells]) for n, cells in rows if not cells[0].startswith("#")]
    (_, header), *body = rows
    if missing := [column for column in key if column not in header]:
        raise ValueError(f"{path}: the columns {missing} are missing")
    sheet: dict[tuple[str, ...], dict[str, str]] = {}
    for number, cells in body:
        if len(cells) > len(header):
            raise ValueError(f"{path}, line {number}: {len(cells)} cells under {len(header)} columns")
        row = dict(zip(header, cells + [""] * (len(header) - len(cells))))
        name = tuple(row[column] for column in key)
        if name in sheet:
            raise ValueError(f"{path}, line {number}: a second row '{' '.join(name)}'")
        sheet[name] = row
    return sheet


class _StrictLoader(yaml.SafeLoader):
    """YAML that refuses a key given twice instead of keeping the last one."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key) for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1}
        if twice:
            raise ValueError(f"{node.start_mark.name}, line {node.start_mark.line + 1}: {sorted(twice)} given twice")
        return super().construct_mapping(node, deep)


@functools.cache
def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping; duplicate keys and anything but plain data are refused."""
    try:
        with path.open(encoding="utf-8") as stream:
            return yaml.load(stream, _StrictLoader) or {}
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not valid YAML: {error}") from error


def parse_set(text: str) -> dict[str, Any]:
    """`mask=block mask.ratio=0.6` -> {"mask": "block", "mask.ratio": 0.6}; values are YAML scalars."""
    values: dict[str, Any] = {}
    for part in shlex.split(text):
        key, sign, value = part.partition("=")
        if not sign or not key or not value:
            raise ValueError(f"'{part}' in column 'set' is not key=value")
        if key in values:
            raise ValueError(f"'{key}' is given twice in column 'set'")
        values[key] = yaml.safe_load(value)
        if isinstance(values[key], dict | list):
            raise ValueError(f"'{part}' in column 'set': only single values, write another recipe for lists")
    return values
