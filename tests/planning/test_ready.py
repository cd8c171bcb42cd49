"""Data that are not there, and a disk that is too small, are named before any job."""

import shutil
from collections import namedtuple

import pytest
from sheets import CONFIG

from simmim.config.sheets import Sheets
from simmim.jobs import Jobs
from simmim.planning.ready import data_to_pack, disk_faults, missing_sources


@pytest.fixture
def jobs(tmp_path):
    """Of a configuration whose data lie in a folder that is there and empty."""
    shutil.copytree(CONFIG, tmp_path / "config")
    (tmp_path / "config" / "config.yaml").write_text(f"data_root: {tmp_path}/data\n")
    return Jobs(Sheets(tmp_path / "config"), str(tmp_path / "results"))


def test_missing_data_are_named_with_where_they_belong(jobs, tmp_path):
    packed = [jobs.sheets.packed("paper", "imagenet", split) for split in ("train", "val")]
    (tmp_path / "data" / "imagenet" / "val").mkdir(parents=True)
    (fault,) = missing_sources(jobs, packed)
    assert fault.startswith(f"data set imagenet has no {tmp_path}/data/imagenet/train")
    (tmp_path / "data" / "imagenet" / "train").mkdir()
    assert missing_sources(jobs, packed) == []
    assert missing_sources(jobs, [jobs.sheets.packed("smoke", "earth_tiles", "train")]) == []  # a job makes it


def test_a_folder_whose_name_looks_like_a_pattern_is_found(tmp_path):
    shutil.copytree(CONFIG, tmp_path / "config")
    (tmp_path / "config" / "config.yaml").write_text(f"data_root: '{tmp_path}/photos [raw]'\n")
    jobs = Jobs(Sheets(tmp_path / "config"), str(tmp_path / "results"))
    packed = [jobs.sheets.packed("paper", "imagenet", "train")]
    assert len(missing_sources(jobs, packed)) == 1
    (tmp_path / "photos [raw]" / "imagenet" / "train").mkdir(parents=True)
    assert missing_sources(jobs, packed) == []


def test_a_plan_that_does_not_fit_on_the_disk_is_named(tmp_path, monkeypatch):
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(9e9))
    row = {"kind": "data", "run": "imagenet", "evaluation": "val", "state": "to do", "checkpoint_bytes": None}
    rows = [row | {"disk_bytes": 4e9}, row | {"disk_bytes": 4e9, "checkpoint_bytes": 1e9, "kind": "pretrain"}]
    assert disk_faults(rows, tmp_path / "not yet") == []
    (fault,) = disk_faults([*rows, row | {"disk_bytes": 1e9}, row | {"state": "done", "disk_bytes": 1e12}], tmp_path)
    assert "10 GB are to be written" in fault and "has 9 GB" in fault
    assert data_to_pack(rows) == [("imagenet", "val")]


@pytest.mark.parametrize(("at_a_time", "gigabytes"), [(1, 11), (3, 17), (50, 19), (None, 19)])
def test_as_many_jobs_have_checkpoints_as_run_at_a_time(tmp_path, monkeypatch, at_a_time, gigabytes):
    """The largest may be together; seeds of a pre-training are jobs, those of an evaluation are one."""
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: namedtuple("usage", "free")(9e9))
    row = {"kind": "pretrain", "state": "to do", "disk_bytes": 4e9, "checkpoint_bytes": 3e9, "seeds_to_do": 3}
    rows = [row, row | {"kind": "evaluate", "checkpoint_bytes": 2e9}]
    (fault,) = disk_faults(rows, tmp_path, at_a_time)
    assert f"{gigabytes} GB are to be written" in fault
