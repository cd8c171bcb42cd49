"""Results whose configs still hold settings of the machine are brought up to date, with all that is bound to them."""

import shutil
from pathlib import Path

import pytest
import torch

from simmim.config.differences import refuse_changed
from simmim.config.sheets import Sheets
from simmim.jobs import Jobs
from simmim.migration import migrate
from simmim.planning.done import is_outdated
from simmim.storage import model_file, records
from simmim.storage.identity import Identity, config_hash

ROOT = Path(__file__).parents[1]
SHEETS = Sheets(ROOT / "config")
PRETRAINING = SHEETS.pretraining("smoke", "random_swin")
SUPERVISED, DETECT = (SHEETS.evaluation("smoke", "random_swin", name) for name in ("supervised", "detect_supervised"))


def stored(path, config, config_key, encoder="", **metadata):
    """Records of one row."""
    origin = records.Origin("smoke", "random_swin", "x", 0, config_key, "code", "d", "digest", encoder)
    records.write(path, [records.record(origin, 5, "top1", 12.5)], config=config, **metadata)


def model(path, config_key, encoder=""):
    """A small model file; returns its digest."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header = {"encoder": {"name": "swin"}, "config_hash": config_key, "encoder_digest": encoder}
    model_file.write(path, torch.nn.Linear(2, 2), header)
    return model_file.digest(path)


def old_results(folder):
    """A pre-training, its supervised training and a detection that starts from that, as once written."""
    pretraining = PRETRAINING.model_dump(mode="json") | {"seeds": 1}
    stored(folder / "pretrain/random_swin/seed0/train.parquet", pretraining, config_hash(pretraining))
    first = model(folder / "pretrain/random_swin/seed0/encoder.safetensors", config_hash(pretraining))
    supervised = SUPERVISED.model_dump(mode="json") | {"pretraining": config_hash(pretraining)}
    evaluations = folder / "evaluate/random_swin"
    second = model(evaluations / "supervised.encoders/seed0.safetensors", config_hash(supervised), first)
    stored(evaluations / "supervised.parquet", supervised, config_hash(supervised), first)
    detect = DETECT.model_dump(mode="json") | {"pretraining": config_hash(pretraining)}
    detect["init"] |= {"config_hash": config_hash(supervised)}
    stored(evaluations / "detect_supervised.parquet", detect, config_hash(detect), second)


def test_all_that_is_bound_to_a_config_or_a_file_gets_its_new_name(tmp_path):
    old_results(tmp_path)
    assert len(migrate(tmp_path)) == 5
    evaluations = tmp_path / "evaluate/random_swin"
    files = {
        tmp_path / "pretrain/random_swin/seed0/train.parquet": (PRETRAINING, None),
        evaluations / "supervised.parquet": (SUPERVISED, tmp_path / "pretrain/random_swin/seed0/encoder.safetensors"),
        evaluations / "detect_supervised.parquet": (DETECT, evaluations / "supervised.encoders/seed0.safetensors"),
    }
    for path, (config, encoder) in files.items():
        (row,) = records.read([path]).to_dict("records")
        assert records.metadata(path)["config"] == config.as_json()
        assert (row["value"], row["config_hash"]) == (12.5, config.hash)
        assert row["encoder_digest"] == (model_file.digest(encoder) if encoder else "")
    for encoder, config in ((list(files.values())[1][1], PRETRAINING), (list(files.values())[2][1], SUPERVISED)):
        header, state_dict = model_file.read(encoder, "encoder")  # which verifies its digest
        assert header["config_hash"] == config.hash and set(state_dict) == {"weight", "bias"}
    assert migrate(tmp_path) == []


def test_an_interrupted_migration_can_be_started_again(tmp_path, monkeypatch):
    old_results(tmp_path)
    monkeypatch.setattr("simmim.storage.model_file.write_state", lambda *arguments: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        migrate(tmp_path)
    monkeypatch.undo()
    assert migrate(tmp_path)
    (row,) = records.read([tmp_path / "evaluate/random_swin/supervised.parquet"]).to_dict("records")
    assert row["config_hash"] == SUPERVISED.hash
    assert row["encoder_digest"] == model_file.digest(tmp_path / "pretrain/random_swin/seed0/encoder.safetensors")


def test_an_evaluation_without_its_pretraining_is_refused_and_nothing_is_written(tmp_path):
    old_results(tmp_path)
    (tmp_path / "pretrain/random_swin/seed0/train.parquet").unlink()
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(ValueError, match=r"supervised.parquet stands on the config \w{12}, whose records are missing"):
        migrate(tmp_path)
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


def test_work_of_an_earlier_version_names_the_way_on_instead_of_its_removal(tmp_path):
    with pytest.raises(ValueError, match=r"state was written before .*; bring its scale up to date with `simmim migra"):
        refuse_changed(
            tmp_path / "state",
            {"config": PRETRAINING.model_dump(mode="json")},
            Identity(PRETRAINING.as_json()),
            remove=tmp_path,
        )


@pytest.mark.parametrize("seeds", [1, 4])
def test_another_number_of_pretrainings_leaves_those_that_are_done(tmp_path, seeds):
    shutil.copytree(ROOT / "config", tmp_path / "config")
    with (tmp_path / "config/scales/smoke.yaml").open("a") as scale:
        scale.write(f"\nseeds: {{random_swin: {seeds}}}\n")
    jobs = Jobs(Sheets(tmp_path / "config"), str(tmp_path))
    pretraining = jobs.job("pretrain", scale="smoke", run="random_swin", seed=0)
    assert (pretraining.config.seeds, pretraining.hash) == (seeds, PRETRAINING.hash)
    stored(Path(pretraining.output("records")), PRETRAINING.as_json(), PRETRAINING.hash)
    assert not is_outdated(pretraining)
    before = {"config": PRETRAINING.as_json() | {"seeds": 2}}  # as an earlier version kept it
    refuse_changed(tmp_path, before, Identity(pretraining.config.as_json()), remove=tmp_path)


def test_the_committed_results_are_those_of_the_sheets():
    """Nothing is trained again, and no number stands in a table whose setting is another one today."""
    small = Path(__file__).parents[1] / "results" / "small"
    configs = {
        path: SHEETS.pretraining("small", path.parents[1].name) for path in small.glob("pretrain/*/*/train.parquet")
    }
    configs |= {
        path: SHEETS.evaluation("small", path.parent.name, path.stem) for path in small.glob("evaluate/*/*.parquet")
    }
    assert len(configs) > 20
    for path, config in configs.items():
        assert records.metadata(path)["config"] == config.as_json(), path
        assert {*records.read([path])["config_hash"]} == {config.hash}, path
