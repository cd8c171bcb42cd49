"""Sheets and recipes as they are written: tab-separated rows, `key=value` cells, strict YAML."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel

from simmim.config.errors import located_at, validated
from simmim.plugin import check_choice
from simmim.storage.reading import read_text, reading

Row = TypeVar("Row", bound=BaseModel)
Key = tuple[str, ...]

_QUOTED = r"\"[^\"]*\"|'[^']*'"
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")
_MOST_VALUES = 100_000  # of a YAML file
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
    for number, cells in body:  # of all rows first: under a lost column every cell would be blamed
        with located_at(f"{path}, line {number}"):
            _check_cells(cells, header)
    sheet: dict[Key, Row] = {}
    for number, cells in body:
        values = dict(zip(header, cells + [""] * (len(header) - len(cells))))
        name = tuple(values[column] for column in key)
        if name in sheet:
            raise ValueError(f"{path}, line {number}: a second row '{' '.join(name)}'")
        with located_at(f"{path}, row '{' '.join(name)}'"):
            sheet[name] = validated(model, values)
    return sheet


def _check_cells(cells: list[str], header: list[str]) -> None:
    if len(cells) > len(header):
        raise ValueError(f"{len(cells)} cells under {len(header)} columns")
    if len(cells) == 1 < len(header) and " " in cells[0]:
        raise ValueError(f"'{cells[0][:60]}' is one cell: columns are separated by tabs, not by spaces")


def _lines(path: Path) -> list[tuple[int, list[str]]]:
    """Numbered rows of cells, the header first; a quotation mark is a character as any other."""
    lines = [(n, line) for n, line in enumerate(read_text(path).split("\n"), 1) if line.strip()]
    for number, line in lines:
        if found := _CONTROL.search(line):
            raise ValueError(f"{path}, line {number}: the control character {found[0]!r} stands in it; remove it")
    rows = [(n, [cell.strip() for cell in line.split("\t")]) for n, line in lines]
    rows = [(n, cells) for n, cells in rows if not cells[0].startswith("#")]
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


class _StrictLoader(yaml.SafeLoader):
    """YAML that refuses a key given twice instead of keeping the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        keys = [self.construct_object(key) for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        if twice := [key for n, key in enumerate(keys) if key in keys[:n]]:
            raise ValueError(f"line {node.start_mark.line + 1}: {twice[0]!r} is given twice")
        return super().construct_mapping(node, deep)


@functools.cache
def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping; duplicate keys and anything but plain data are refused."""
    text = read_text(path)
    with reading(path, "valid YAML", "mend it"):
        values = _plain_data(text, path.name)
    if values is None:
        raise ValueError(f"{path} is empty")
    if not isinstance(values, dict):
        raise ValueError(f"{path} must hold 'key: value' lines, it holds a {type(values).__name__}")
    return values


def _plain_data(text: str, name: str) -> Any:
    loader = _StrictLoader(text)
    loader.name = name
    try:
        values = loader.get_single_data()
    finally:
        loader.dispose()
    left, found = [values], 0
    while left:  # no recursion: a name (&a, *a) can stand for what it stands in, or for ten of another name
        each, found = left.pop(), found + 1
        left += each.values() if isinstance(each, dict) else each if isinstance(each, list) else ()
        if found > _MOST_VALUES:
            raise ValueError(f"it holds more than {_MOST_VALUES} values, names (*name) written out")
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
