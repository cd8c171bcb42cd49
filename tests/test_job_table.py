"""Every job is written once: its files, what makes them, and a hash that changes with what determines them."""

import shutil
from pathlib import Path

import pytest

from simmim.config.reading import read_yaml
from simmim.config.sheets import Sheets
from simmim.jobs import Jobs
from simmim.storage.paths import OUTPUTS, match, pattern

CONFIG = Path(__file__).parents[1] / "config"
JOBS = Jobs(Sheets(CONFIG))
WHERE = {"scale": "smoke", "run": "default"}


def every_job(scale="smoke"):
    """The page of a scale, what it is made from, and so on down to the data."""
    found, open_files = {}, JOBS.job("page", scale=scale).input_files()
    while open_files:
        file = open_files.pop()
        job = JOBS.maker(file)
        assert job, f"no job makes {file}"
        if (job.kind, *job.wildcards.values()) not in found:
            found[(job.kind, *job.wildcards.values())] = job
            open_files += job.input_files()
    return list(found.values())


def test_from_the_page_every_kind_of_job_is_reached_and_every_file_has_its_maker():
    jobs = every_job()
    assert {job.kind for job in jobs} == set(OUTPUTS) - {"page"}
    assert len(jobs) > 350
    for job in jobs:
        for role, file in job.outputs.items():
            assert JOBS.maker(file) is job, (job.kind, role)


def test_no_two_kinds_of_job_make_the_same_file():
    patterns = {(kind, role): pattern("results", kind, role) for kind in OUTPUTS for role in OUTPUTS[kind]}
    by_task = {"finetune", "evaluate"}  # which of these two it is depends on the evaluation's task
    for (kind, _), text in patterns.items():
        assert {other for (other, _), same in patterns.items() if same == text} in ({kind}, by_task)


@pytest.mark.parametrize(
    "file",
    [
        "elsewhere/smoke/report.html",
        "results/smoke/report.htm",
        "results/smoke/x/report.html",
        "results/smoke/size/a.b",
    ],
)
def test_other_files_have_no_maker(file):
    assert match("results", file) is None and JOBS.maker(file) is None


def test_a_file_tells_its_wildcards():
    found = match("results", "results/smoke/pretrain/a/seed0/train.parquet")
    assert found == ("pretrain", {"scale": "smoke", "run": "a", "seed": "0"})


def test_a_job_knows_what_it_reads():
    job = JOBS.job("evaluate", **WHERE, evaluation="probe")
    folder = "results/smoke"
    assert job.inputs["encoders"] == [f"{folder}/pretrain/default/seed0/encoder.safetensors"]
    assert job.inputs["data"] == [f"{folder}/data/earth_climate/{split}/index.json" for split in ("train", "val")]
    name = JOBS.sheets.read_features("smoke", "default", "probe").name
    assert job.inputs["features"] == [f"{folder}/features/default/seed0/{name}"]
    segment = JOBS.job("evaluate", **WHERE, evaluation="segment")
    assert segment.inputs["encoders"] == [f"{folder}/evaluate/default/finetune.encoders"]


def test_a_longer_run_reads_the_first_stage_of_a_shorter_one():
    stage = JOBS.job("first_stage", scale="smoke", run="step_300ep", seed=0)
    assert stage.inputs["first_stage"] == ["results/smoke/pretrain/step_100ep/seed0/first_stage/manifest.json"]
    run = JOBS.job("pretrain", scale="smoke", run="step_300ep", seed=0)
    assert run.inputs["first_stage"] == ["results/smoke/pretrain/step_300ep/seed0/first_stage/manifest.json"]


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="unknown kind of job 'fine_tune'; did you mean 'finetune'"):
        JOBS.job("fine_tune", scale="smoke")


def test_a_job_that_was_planned_with_another_config_is_refused():
    job = JOBS.job("pretrain", **WHERE, seed=0)
    assert job.planned_with("") is job and job.planned_with(job.hash) is job
    with pytest.raises(ValueError, match="this job was planned with 0123456789ab"):
        job.planned_with("0123456789ab")


LOOKED_AT = {
    "train": ("pack", {"dataset": "earth_tiles", "split": "train"}),
    "pretrain": ("pretrain", {"run": "default", "seed": 0}),
    "reconstruct": ("reconstruct", {"run": "default", "seed": 0}),
    "knn": ("evaluate", {"run": "default", "evaluation": "knn"}),
    "probe": ("evaluate", {"run": "default", "evaluation": "probe"}),
    "table4": ("table", {"name": "table4"}),
}


def hashes(folder):
    read_yaml.cache_clear()
    jobs = Jobs(Sheets(folder))
    found = {name: jobs.job(kind, scale="smoke", **where).hash for name, (kind, where) in LOOKED_AT.items()}
    read_yaml.cache_clear()
    return found


@pytest.mark.parametrize(
    ("file", "old", "new", "changed"),
    [
        ("recipes/swin_b_100ep.yaml", "stage:", "# a remark\nstage:", set()),
        ("recipes/knn.yaml", "image_px: 192", "image_px: 192, temperature: 0.2", {"knn"}),
        (
            "recipes/swin_b_100ep.yaml",
            "weight_decay: 0.05",
            "weight_decay: 0.06",
            {"pretrain", "reconstruct", "knn", "probe"},
        ),
        ("drawn_masks.tsv", "\ncifar10", "\nearth_tiles\tone\tbox 0.2 0.2 0.8 0.8\ncifar10", {"reconstruct"}),
        ("paper.tsv", "\t81.7", "\t81.8", {"table4"}),
        ("scales/smoke.yaml", "  tile_px: 64", "  tile_px: 32", {"train", "pretrain", "reconstruct", "knn", "probe"}),
    ],
)
def test_a_hash_changes_with_what_determines_a_job_and_with_nothing_else(tmp_path, file, old, new, changed):
    folder = Path(shutil.copytree(CONFIG, tmp_path / "config"))
    before, path = hashes(folder), folder / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    after = hashes(folder)
    assert {name for name in before if before[name] != after[name]} == changed


def test_a_new_format_of_packed_data_packs_again_and_trains_nothing(monkeypatch):
    before = hashes(CONFIG)
    monkeypatch.setattr("simmim.config.models.PACKED_FORMAT", 99)
    after = hashes(CONFIG)
    assert {name for name in before if before[name] != after[name]} == {"train"}
