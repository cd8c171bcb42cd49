"""One pre-training from data to encoder file: other channels and shapes, resume, refusal, and nothing to do twice."""

import io
import json
import re

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.pretraining import ALONE, packed, pretrain_config
from PIL import Image
from safetensors.torch import load_file

from simmim.machine import cpu_name
from simmim.pretraining.reconstruction import reconstruct
from simmim.pretraining.run import Init, pretrain, pretrain_first_stage
from simmim.storage import model_file, records
from simmim.storage.encoder_file import load_encoder, save_encoder
from simmim.train.loop import Trained


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return packed(tmp_path_factory.mktemp("stripes"))


def config(channels=3, **train):
    return pretrain_config(images={"mean": [0.5] * channels, "std": [0.25] * channels}, train=train, run="stripes")


@pytest.mark.parametrize("channels", [1, 3])
def test_grey_and_colour_images_that_are_not_square(tmp_path, data, channels):
    pretrain(config(channels, epochs=40), 0, data, tmp_path, ALONE)
    encoder, header = load_encoder(tmp_path / "encoder.safetensors")
    assert encoder(torch.zeros(1, channels, 32, 48)).shape == (1, 16, 4, 6)
    assert (header["image_px"], header["in_channels"], header["run"]) == ([32, 48], channels, "stripes")
    values = records.read([tmp_path / "train.parquet"]).set_index("metric")["value"]
    assert values["loss"].iloc[-1] < 0.7 * values["loss"].iloc[0]
    pretrain(config(channels, epochs=0), 0, data, tmp_path / "untrained", ALONE)
    untrained = records.read([tmp_path / "untrained" / "train.parquet"]).set_index("metric")["value"]
    assert 0 < values["validation_loss"] < 0.7 * untrained["validation_loss"]
    assert values["validation_loss_mean_colour"] == untrained["validation_loss_mean_colour"]
    reconstruct(config(channels, epochs=40), tmp_path, data["val"], {})
    shown = pd.read_parquet(tmp_path / "reconstruction.parquet")
    assert shown["mask"].value_counts().to_dict() == {"own": 8, "most": 8, "all": 8}
    assert set(shown["region"]) == {"central box"}
    hidden = np.asarray(Image.open(io.BytesIO(shown["hidden"][0])))
    assert hidden.shape == (32, 48) and (hidden == 255).mean() == pytest.approx(4 / 6)
    left = ["encoder.safetensors", "finished.json", "head.safetensors", "train.parquet"]
    assert sorted(path.name for path in (tmp_path / "state").iterdir()) == left
    assert all((tmp_path / "state" / name).samefile(tmp_path / name) for name in left if name != "finished.json")


def test_an_interrupted_run_ends_with_the_same_bits(tmp_path, data, monkeypatch):
    pretrain(config(), 0, data, tmp_path / "whole", ALONE)
    with monkeypatch.context() as patch:
        patch.setattr("simmim.methods.simmim.validation_losses", _interrupted)
        with pytest.raises(KeyboardInterrupt):
            pretrain(config(), 0, data, tmp_path / "cut", ALONE)
    assert list((tmp_path / "cut" / "state").glob("step-*"))
    assert not (tmp_path / "cut" / "encoder.safetensors").exists()
    pretrain(config(), 0, data, tmp_path / "cut", ALONE)
    whole, cut = (load_file(tmp_path / name / "encoder.safetensors") for name in ("whole", "cut"))
    assert all(torch.equal(whole[name], cut[name]) for name in whole)


def _interrupted(*arguments):
    raise KeyboardInterrupt


def test_an_interrupted_run_is_not_continued_with_another_config(tmp_path, data, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("simmim.methods.simmim.validation_losses", _interrupted)
        with pytest.raises(KeyboardInterrupt):
            pretrain(config(), 0, data, tmp_path, ALONE)
    with pytest.raises(ValueError, match=r"train.base_lr: 0.003 before, 0.001 now"):
        pretrain(config(base_lr=1e-3), 0, data, tmp_path, ALONE)


def test_an_interrupted_run_is_not_continued_with_other_images_or_another_seed(tmp_path, data, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("simmim.methods.simmim.validation_losses", _interrupted)
        with pytest.raises(KeyboardInterrupt):
            pretrain(config(), 0, data, tmp_path / "run", ALONE)
    with pytest.raises(ValueError, match=r"seed: 0 before, 1 now"):
        pretrain(config(), 1, data, tmp_path / "run", ALONE)
    with pytest.raises(ValueError, match=r"data_digests.train: \w+ before, \w+ now"):
        pretrain(config(), 0, {"train": data["val"], "val": data["val"]}, tmp_path / "run", ALONE)


def test_a_change_of_code_or_machine_is_noted_in_the_records(tmp_path, data, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        patch.setattr("simmim.methods.simmim.validation_losses", _interrupted)
        with pytest.raises(KeyboardInterrupt):
            pretrain(config(), 0, data, tmp_path, ALONE)
    monkeypatch.setattr("simmim.train.loop.code_version", lambda: "newer")
    monkeypatch.setattr("simmim.train.processes.cpu_name", lambda: "another CPU")
    pretrain(config(), 0, data, tmp_path, ALONE)
    said = capsys.readouterr().out
    assert "code_version: " in said and "device: " in said and "another CPU now" in said
    first, second = records.metadata(tmp_path / "train.parquet")["parts"]
    assert (first["from_step"], second["from_step"], second["code_version"]) == (0, 8, "newer")
    own = {"device": cpu_name(), "precision": "fp32"}
    assert own.items() <= first["environment"].items() and second["environment"] == first["environment"] | {
        "device": "another CPU"
    }


def test_another_seed_is_another_run(tmp_path, data):
    """With other start values, and with other batches."""
    for seed in (0, 1):
        pretrain(config(epochs=0), seed, data, tmp_path / str(seed), ALONE)
        pretrain(config(epochs=1), seed, data, tmp_path / f"{seed}_trained", ALONE)
    first, second = (load_file(tmp_path / name / "encoder.safetensors") for name in "01")
    assert not torch.equal(first["mask_token"], second["mask_token"])
    first, second = (records.read([tmp_path / f"{name}_trained" / "train.parquet"]) for name in "01")
    assert not first[first["metric"] == "loss"]["value"].equals(second[second["metric"] == "loss"]["value"])


def test_position_tables_decay_in_pre_training_and_mask_tokens_do_not(tmp_path, data, monkeypatch):
    """As in the released code; `Encoder.no_weight_decay` says so of pre-training only."""
    seen = {}

    def fit(task, data, groups, *_):
        decay = {id(each): group["weight_decay"] for group in groups for each in group["params"]}
        seen.update({name: decay[id(each)] for name, each in task.named_parameters()})
        return Trained(parts=[{"environment": {}}])

    monkeypatch.setattr("simmim.pretraining.run.fit", fit)
    pretrain(config(weight_decay=0.25), 0, data, tmp_path, ALONE)
    tables = [name for name in seen if name.endswith("relative_position_bias_table")]
    assert tables and {seen[name] for name in tables} == {0.25}
    assert seen["encoder.mask_token"] == seen["encoder.norm.weight"] == 0


STEPS = {"schedule": "step", "warmup_epochs": 1.0}


def test_a_first_stage_serves_a_short_and_a_long_run_to_the_same_bits(tmp_path, data, capsys):
    short = config(epochs=6, milestones=[0.5, 0.75], **STEPS)
    long = config(epochs=8, milestones=[0.75], **STEPS)
    shared = tmp_path / "shared" / "first_stage"
    pretrain_first_stage(short, 0, data, shared, ALONE)
    assert json.loads((shared / "manifest.json").read_text())["step"] == 6
    for name, settings in (("short", short), ("long", long)):
        pretrain(settings, 0, data, tmp_path / name, ALONE)
        assert "going on" not in capsys.readouterr().out
        pretrain(settings, 0, data, tmp_path / f"{name}_from_shared", ALONE, Init(shared, short))
        assert "going on from step 6" in capsys.readouterr().out
        alone, begun = (load_file(tmp_path / f"{name}{end}" / "encoder.safetensors") for end in ("", "_from_shared"))
        assert all(torch.equal(alone[key], begun[key]) for key in alone)
        logs = [records.read([tmp_path / f"{name}{end}" / "train.parquet"]) for end in ("", "_from_shared")]
        losses = [log[log["metric"] == "loss"]["value"].tolist() for log in logs]
        assert losses[0] == losses[1] and len(losses[0]) == settings.train.epochs


def test_records_name_the_encoder_file_that_a_first_stage_began_with(tmp_path, data):
    pretrain(config(epochs=0), 1, data, tmp_path / "first", ALONE)
    file, stage = tmp_path / "first" / "encoder.safetensors", tmp_path / "first_stage"
    settings = config(epochs=2, milestones=[0.5], **STEPS)
    pretrain_first_stage(settings, 0, data, stage, ALONE, Init(encoder=file))
    pretrain(settings, 0, data, tmp_path / "run", ALONE, Init(stage, settings))
    frame = records.read([tmp_path / "run" / "train.parquet"])
    assert set(frame["encoder_digest"]) == {model_file.digest(file)}


def test_a_first_stage_that_was_changed_is_refused(tmp_path, data):
    settings = config(epochs=4, milestones=[0.5], **STEPS)
    pretrain_first_stage(settings, 0, data, tmp_path / "first_stage", ALONE)
    weights = bytearray((tmp_path / "first_stage" / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (tmp_path / "first_stage" / "model.safetensors").write_bytes(weights)
    with pytest.raises(ValueError, match=r"model.safetensors does not have the digest"):
        pretrain(settings, 0, data, tmp_path, ALONE, Init(tmp_path / "first_stage", settings))


def test_the_first_stage_of_another_config_or_seed_is_refused(tmp_path, data):
    settings = config(epochs=4, milestones=[0.5], **STEPS)
    pretrain_first_stage(settings, 0, data, tmp_path / "first_stage", ALONE)
    other = config(epochs=4, milestones=[0.5], base_lr=1e-3, **STEPS)
    with pytest.raises(
        ValueError, match=r"first_stage was made otherwise(.|\n)*train.base_lr: 0.003 before, 0.001 now"
    ):
        pretrain(other, 0, data, tmp_path / "other", ALONE, Init(tmp_path / "first_stage", other))
    with pytest.raises(ValueError, match=r"seed: 0 before, 1 now"):
        pretrain(settings, 1, data, tmp_path / "seed", ALONE, Init(tmp_path / "first_stage", settings))


def test_a_run_can_start_from_an_encoder_file(tmp_path, data):
    pretrain(config(epochs=2), 0, data, tmp_path / "first", ALONE)
    file = tmp_path / "first" / "encoder.safetensors"
    pretrain(config(epochs=0), 1, data, tmp_path / "copy", ALONE, Init(encoder=file))
    first, copy = (load_file(tmp_path / name / "encoder.safetensors") for name in ("first", "copy"))
    assert all(torch.equal(first[name], copy[name]) for name in first)
    other = load_encoder(file)[0]
    other.norm = torch.nn.Identity()
    save_encoder(tmp_path / "odd.safetensors", other, load_encoder(file)[1])
    with pytest.raises(ValueError, match=r"odd.safetensors does not fit the encoder"):
        pretrain(config(epochs=0), 1, data, tmp_path / "odd", ALONE, Init(encoder=tmp_path / "odd.safetensors"))


def test_other_statistics_of_the_images_than_those_of_the_encoder_file_are_said(tmp_path, data, capsys):
    pretrain(config(epochs=0), 0, data, tmp_path / "first", ALONE)
    start = Init(encoder=tmp_path / "first" / "encoder.safetensors")
    measured = {"mean": [0.485, 0.456, 0.406], "std": [0.25] * 3}
    others = (pretrain_config(images=measured, train={"epochs": epochs}) for epochs in (0, 1))
    due = "set images.mean=[0.5,0.5,0.5] images.std=[0.25,0.25,0.25]"
    with pytest.raises(ValueError, match=rf"another mean and deviation .*train.epochs=0.*: {re.escape(due)}$"):
        pretrain(next(others), 0, data, tmp_path / "second", ALONE, start)
    capsys.readouterr()
    pretrain(next(others), 0, data, tmp_path / "trained", ALONE, start)
    said = "first/encoder.safetensors was trained with another mean and deviation"
    assert capsys.readouterr().out.count(said) == 1
    pretrain(config(epochs=0), 0, data, tmp_path / "same", ALONE, start)
    assert said not in capsys.readouterr().out


def test_records_and_files_say_where_they_come_from(tmp_path, data):
    pretrain(config(epochs=2), 3, data, tmp_path / "first", ALONE)
    file = tmp_path / "first" / "encoder.safetensors"
    pretrain(config(epochs=2), 3, data, tmp_path, ALONE, Init(encoder=file))
    rows = records.read([tmp_path / "train.parquet"])
    sets = json.loads((data["train"] / "index.json").read_text()), json.loads((data["val"] / "index.json").read_text())
    origin = {"scale": "test", "run": "stripes", "evaluation": "pretrain", "dataset": "made_up", "seed": 3}
    origin |= {"config_hash": config(epochs=2).hash, "encoder_digest": model_file.digest(file)}
    for column, value in origin.items():
        assert set(rows[column]) == {value}, column
    assert set(rows["step"]) == {2, 4}
    assert records.metadata(tmp_path / "train.parquet")["config"] == config(epochs=2).as_json()
    digests = records.metadata(tmp_path / "train.parquet")["data_digests"]
    assert [digests["train"], digests["val"]] == [each["digest"] for each in sets]
    measured_on = rows.groupby(rows["metric"].str.startswith("validation_"))["data_digest"].agg(set).to_dict()
    assert measured_on == {False: {digests["train"]}, True: {digests["val"]}}
    header = load_encoder(tmp_path / "encoder.safetensors")[1]
    assert (header["step"], header["seed"], header["config_hash"]) == (4, 3, config(epochs=2).hash)
    assert (header["mean"], header["std"]) == ([0.5] * 3, [0.25] * 3) and "bits" not in header


def test_pictures_of_another_config_or_a_damaged_head_are_refused(tmp_path, data):
    pretrain(config(epochs=1), 0, data, tmp_path, ALONE)
    with pytest.raises(ValueError, match=r"was made with another config; pre-train"):
        reconstruct(config(epochs=2), tmp_path, data["val"], {})
    content = bytearray((tmp_path / "head.safetensors").read_bytes())
    content[-1] ^= 1
    (tmp_path / "head.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match=r"head.safetensors is damaged"):
        reconstruct(config(epochs=1), tmp_path, data["val"], {})


@pytest.mark.parametrize("schedule", ["cosine", "step"])
def test_a_run_that_would_make_no_update_is_refused_and_leaves_no_encoder(tmp_path, data, schedule):
    few = config(batch=2048, schedule=schedule)
    for train in (pretrain, pretrain_first_stage):
        with pytest.raises(ValueError, match=r"0\.031 updates: 16 images x 4 epochs / batch 2048"):
            train(few, 0, data, tmp_path / "out", ALONE)
    assert not list(tmp_path.rglob("*.safetensors"))


def test_a_first_stage_without_updates_leaves_all_of_them_to_the_run(tmp_path, data):
    early = config(schedule="step", milestones=[0.2])  # 1.6 of 8 updates, less than one log row
    pretrain_first_stage(early, 0, data, tmp_path / "first_stage", ALONE)
    pretrain(early, 0, data, tmp_path / "two", ALONE, Init(tmp_path / "first_stage", early))
    pretrain(early, 0, data, tmp_path / "one", ALONE)
    one, two = (load_file(tmp_path / name / "encoder.safetensors") for name in ("one", "two"))
    assert all(torch.equal(one[name], two[name]) for name in one)
