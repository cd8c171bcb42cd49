"""Records: one schema, whole files, checksums that are verified."""

import pytest

from simmim.storage import records

ORIGIN = records.Origin("smoke", "default", "finetune", 0, "abc", "digest", "code")


def test_what_is_written_is_read_with_its_source(tmp_path):
    path = tmp_path / "a" / "finetune.parquet"
    rows = [records.record(ORIGIN, 10, "top1", 61.25), records.record(ORIGIN, 10, "iou", 3, "sea")]
    records.write(path, rows, config={"x": 1})
    frame = records.read([path])
    assert frame["value"].tolist() == [61.25, 3.0]
    assert frame["detail"].tolist() == ["", "sea"]
    assert set(frame["source"]) == {str(path)}
    assert records.metadata(path)["config"] == {"x": 1}
    assert [file.name for file in path.parent.iterdir()] == ["finetune.parquet"]


def test_a_flipped_bit_is_noticed(tmp_path):
    path = tmp_path / "records.parquet"
    records.write(path, [records.record(ORIGIN, step, "loss", step / 7) for step in range(500)])
    content = bytearray(path.read_bytes())
    content[len(content) // 8] ^= 1
    path.write_bytes(content)
    with pytest.raises(OSError, match=r"CRC|checksum|corrupt"):
        records.read([path])


def test_no_files_are_an_empty_frame_with_all_columns():
    assert list(records.read([]).columns) == [*records.SCHEMA.names, "source"]


def test_any_changed_value_changes_the_hash():
    config = {"mask": {"ratio": 0.6}, "seeds": 3}
    assert records.config_hash(config) == records.config_hash({"seeds": 3, "mask": {"ratio": 0.6}})
    assert records.config_hash(config) != records.config_hash({"mask": {"ratio": 0.60001}, "seeds": 3})
