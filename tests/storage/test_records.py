"""Records: one schema, whole files, checksums that are verified."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from simmim.storage import records
from simmim.storage.identity import config_hash

ORIGIN = records.Origin("smoke", "default", "finetune", 0, "abc", "code", "climate", "digest")


def test_what_is_written_is_read_with_its_source(tmp_path):
    path = tmp_path / "a" / "finetune.parquet"
    rows = [records.record(ORIGIN, 10, "top1", 61.25), records.record(ORIGIN, 10, "iou", 3, "sea")]
    records.write(path, rows, config={"x": 1})
    frame = records.read([path])
    assert frame["value"].tolist() == [61.25, 3.0]
    assert frame["part"].tolist() == ["", "sea"]
    assert set(frame["source"]) == {str(path)}
    assert records.metadata(path)["config"] == {"x": 1}
    assert [file.name for file in path.parent.iterdir()] == ["finetune.parquet"]


def test_a_flipped_bit_is_noticed(tmp_path):
    path = tmp_path / "records.parquet"
    records.write(path, [records.record(ORIGIN, step, "loss", step / 7) for step in range(500)])
    content = bytearray(path.read_bytes())
    content[len(content) // 8] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"CRC|checksum|corrupt"):
        records.read([path])


def test_no_files_are_an_empty_frame_with_all_columns():
    assert list(records.read([]).columns) == [*records.SCHEMA.names, "source"]


def test_any_changed_value_changes_the_hash():
    config = {"mask": {"ratio": 0.6}, "seeds": 3}
    assert config_hash(config) == config_hash({"seeds": 3, "mask": {"ratio": 0.6}})
    assert config_hash(config) != config_hash({"mask": {"ratio": 0.60001}, "seeds": 3})


def test_records_of_another_version_are_refused_with_the_way_on(tmp_path):
    path = tmp_path / "old.parquet"
    pq.write_table(pa.table({"task": ["finetune"], "detail": [""], "value": [1.0]}), path)
    with pytest.raises(ValueError, match=r"old.parquet was written by version 0.1; .* `simmim migrate`"):
        records.read([path])
    pq.write_table(pa.table({"x": [1]}), path)
    with pytest.raises(ValueError, match=r"is not a file of records: its columns are \['x'\]"):
        records.read([path])
