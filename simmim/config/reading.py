"""Sheets and recipes as they are written: tab-separated rows, `key=value` cells, strict YAML."""

from __future__ import annotations

import csv
import functools
import re
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel

from simmim.config.errors import located_at, validated
from simmim.plugin import check_choice

Row = TypeVar("Row", bound=BaseModel)
Key = tuple[str, ...]

_QUOTED = r"\"[^\"]*\"|'[^']*'"
_PAIR = re.compile(rf"(?P<key>[A-Za-z_][\w.]*)=(?P<value>{_QUOTED}|.*?)(?=\s+[A-Za-z_][\w.]*=|\s*$)")


def read_sheet(path: Path, key: Key, model: type[Row]) -> dict[Key, Row]:
    """Rows of a tab-separated sheet by their key columns; lines that start with '#' are comments.

    Args:
        model: what a row is; its columns are the model's fields.

    Raises:
        ValueError: for a missing sheet or an unknown or missing column, a row with too many cells, a cell that cannot
            be, or a key that stands twice; one line with file, row and the nearest choice.
    """
    (_, header), *body = _lines(path)
    with located_at(f"{path}, its first row"):
        _check_columns(header, model)
    sheet: dict[Key, Row] = {}
    for number, cells in body:
        if len(cells) > len(header):
            raise ValueError(f"{path}, line {number}: {len(cells)} cells under {len(header)} columns")
        values = dict(zip(header, cells + [""] * (len(header) - len(cells))))
        name = tuple(values[column] for column in key)
        if name in sheet:
            raise ValueError(f"{path}, line {number}: a second row '{' '.join(name)}'")
        with located_at(f"{path}, row '{' '.join(name)}'"):
            sheet[name] = validated(model, values)
    return sheet


def _lines(path: Path) -> list[tuple[int, list[str]]]:
    """Numbered rows of cells, the header first."""
    if not path.is_file():
        raise ValueError(f"{path} is missing")
    text = _text(path)
    lines = [(n, line) for n, line in enumerate(text.splitlines(), 1) if line.strip()]
    rows = [(n, cells) for (n, _), cells in zip(lines, csv.reader((line for _, line in lines), "excel-tab"))]
    rows = [(n, [cell.strip() for cell in cells]) for n, cells in rows if not cells[0].startswith("#")]
    if not rows:
        raise ValueError(f"{path} is empty: its first row must name the columns")
    return rows


def _check_columns(header: list[str], model: type[BaseModel]) -> None:
    if " " in header[0]:
        raise ValueError(f"'{header[0][:60]}' is one column: columns are separated by tabs, not by spaces")
    if twice := {column for column in header if header.count(column) > 1}:
        raise ValueError(f"the column '{min(twice)}' stands twice")
    for column in header:
        check_choice("column", column, model.model_fields)
    needed = [name for name, field in model.model_fields.items() if field.is_required()]
    if missing := [column for column in needed if column not in header]:
        raise ValueError(f"the column '{missing[0]}' is missing (columns: {', '.join(model.model_fields)})")


def _text(path: Path) -> str:
    """A text file in UTF-8, with or without a byte-order mark."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8") from None


class _StrictLoader(yaml.SafeLoader):
    """YAML that refuses a key given twice instead of keeping the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        keys = [self.construct_object(key) for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        twice = {key for key in keys if keys.count(key) > 1}
        if twice:
            raise ValueError(f"{node.start_mark.name}, line {node.start_mark.line + 1}: {sorted(twice)} given twice")
        return super().construct_mapping(node, deep)


@functools.cache
def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping; duplicate keys and anything but plain data are refused."""
    if not path.is_file():
        raise ValueError(f"{path} is missing")
    loader = _StrictLoader(_text(path))
    loader.name = str(path)
    try:
        values = loader.get_single_data()
    except yaml.YAMLError as error:
        message = " ".join(str(error).split())
        raise ValueError(f"{path} is not valid YAML: {message}") from error
    finally:
        loader.dispose()
    if values is None:
        raise ValueError(f"{path} is empty")
    if not isinstance(values, dict):
        raise ValueError(f"{path} must hold 'key: value' lines, it holds a {type(values).__name__}")
    return values


def parse_set(text: str) -> dict[str, str]:
    """`mask=block mask.ratio=0.6` -> {"mask": "block", "mask.ratio": "0.6"}.

    A value is text as it is written and reaches up to the next ` key=`, so that a path may hold blanks and any other
    character; in quotes it may hold ` key=` too. What type it has depends on the setting that it is for.
    """
    values: dict[str, str] = {}
    rest = text.strip()
    while rest:
        found = _PAIR.match(rest)
        if not found or not found["value"]:
            raise ValueError(f"'{rest.split()[0]}' in column 'set' is not key=value")
        key, value = found["key"], found["value"]
        if key in values:
            raise ValueError(f"'{key}' is given twice in column 'set'")
        values[key] = value[1:-1] if re.fullmatch(_QUOTED, value) else value
        rest = rest[found.end() :].strip()
    return values
