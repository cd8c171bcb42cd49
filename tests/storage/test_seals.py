"""Tables and JSON files that hold a digest of themselves."""

import json

import pyarrow as pa
import pytest

from simmim.migration import migrate
from simmim.storage.parquet import read_sealed, write_parquet, write_sealed
from simmim.storage.sealed_json import digest_of
from simmim.storage.sealed_json import read_sealed as read_json
from simmim.storage.sealed_json import write_sealed as write_json

TABLE = pa.table(
    {"name": ["a", None], "value": [0.1, float("nan")], "image": [b"\x00\xff", b""], "cells": [[{"x": 1}], []]}
).replace_schema_metadata({"config": json.dumps({"ratio": 0.6})})


def test_a_table_comes_back_without_its_seal(tmp_path):
    write_sealed(tmp_path / "t.parquet", TABLE)
    back = read_sealed(tmp_path / "t.parquet")
    assert back.schema.metadata == {b"config": b'{"ratio": 0.6}'}
    assert back.drop_columns("value").to_pylist() == TABLE.drop_columns("value").to_pylist()


def test_no_flipped_bit_gives_another_table(tmp_path):
    """Pages have checksums; the footer, where configs and names of columns stand, has none but the seal."""
    path = tmp_path / "t.parquet"
    write_sealed(path, TABLE)
    whole, expected = path.read_bytes(), str(read_sealed(path).to_pydict())
    refused = 0
    for place in range(0, len(whole), 3):
        spoilt = bytearray(whole)
        spoilt[place] ^= 1 << place % 8
        path.write_bytes(spoilt)
        try:
            back = read_sealed(path)
        except ValueError as error:
            assert str(path) in str(error)
            refused += 1
        else:
            assert str(back.to_pydict()) == expected and back.schema.metadata == {b"config": b'{"ratio": 0.6}'}
    assert refused > 0.3 * len(whole) / 3


def test_a_table_without_a_seal_is_refused_until_it_is_migrated(tmp_path):
    path = tmp_path / "tables" / "mine.parquet"
    write_parquet(path, TABLE)
    with pytest.raises(ValueError, match=r"mine.parquet has no digest of its content: .* `simmim migrate`"):
        read_sealed(path)
    assert migrate(tmp_path) == [f"{path}: given a digest of its content"] and migrate(tmp_path) == []
    assert read_sealed(path)["name"].to_pylist() == ["a", None]


def test_no_changed_byte_of_a_sealed_json_file_is_taken_for_another_value(tmp_path):
    path, content = tmp_path / "m.json", {"step": 4, "config": {"ratio": 0.6}, "names": ["a", "b"]}
    write_json(path, content)
    whole, digest = path.read_bytes(), digest_of(path)
    assert read_json(path) == content
    for place in range(len(whole)):
        for bit in (0, 3, 6):
            spoilt = bytearray(whole)
            spoilt[place] ^= 1 << bit
            path.write_bytes(spoilt)
            try:
                assert read_json(path) == content  # white space alone
            except ValueError as error:
                assert str(path) in str(error)
    write_json(path, content | {"step": 5})
    assert digest_of(path) != digest
