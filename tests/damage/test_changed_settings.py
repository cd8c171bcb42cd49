"""What a finished job has left in `state` comes back for the same settings, and is in nobody's way once they change."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from helpers.pretraining import pretrain_config, tokenizer_config
from savers import COLOURS, Inputs, evaluate_config

from simmim.cli import training
from simmim.evaluate import job
from simmim.storage import model_file, records
from simmim.storage.files import remove
from simmim.storage.sealed_json import read_sealed
from simmim.train.loop import Trained

STEPS = {"schedule": "step", "epochs": 2, "milestones": [0.5]}
TUNED = {"batch": 2, "precision": "fp32", "log_every_steps": 9, "save_every_steps": 9}


class Kind(NamedTuple):
    """A kind of job.

    Args:
        verb: does it, with these arguments.
        outputs: what Snakemake knows of, and deletes where a job was interrupted before its end was noted.
        config: made of a number; jobs of different ones are different.
        stored: the config in the file that it left.
    """

    verb: Callable[..., None]
    arguments: Mapping[str, Any]
    outputs: Mapping[str, str]
    config: Callable[[int], Any]
    stored: Callable[[Path], Any]


def _of_records(path: Path) -> Any:
    return records.metadata(path)["config"]


RUN = {"run": "default", "seed": 0}
KINDS = {
    "pretrain": Kind(
        training.pretrain,
        RUN,
        {"records": "train.parquet", "encoder": "encoder.safetensors", "head": "head.safetensors"},
        lambda number: pretrain_config(train={"epochs": 0, "base_lr": number}),
        _of_records,
    ),
    "first_stage": Kind(
        training.first_stage,
        RUN,
        {"manifest": "first_stage/manifest.json"},
        lambda number: pretrain_config(train=STEPS | {"base_lr": number}),
        lambda path: read_sealed(path)["config"],
    ),
    "evaluate": Kind(
        training.evaluate,
        {"run": "default", "evaluation": "finetune"},
        {"records": "finetune.parquet", "encoders": "finetune.encoders"},
        lambda number: evaluate_config("finetune", {}, 1, TUNED | {"epochs": 1, "base_lr": number}),
        _of_records,
    ),
    "tokenizer": Kind(
        training.tokenizer,
        {"tokenizer": "colours"},
        {"tokenizer": "colours.safetensors"},
        lambda number: tokenizer_config(COLOURS, seed=number),
        lambda path: model_file.header(path)["tokenizer"],
    ),
}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return Inputs(tmp_path_factory.mktemp("inputs"))


@pytest.fixture(autouse=True)
def fine_tuning_is_left_out(monkeypatch):
    monkeypatch.setenv("SIMMIM_DEVICE", "cpu")
    monkeypatch.setattr(job, "fit", lambda *_: Trained())


def jobs(kind: Kind, number: int, folder: Path, inputs: Inputs) -> Any:
    """Sheets with the one job, as its verb asks them."""
    config = kind.config(number)
    outputs = {role: str(folder / name) for role, name in kind.outputs.items()}
    one = SimpleNamespace(config=config, outputs=outputs, output=lambda role: Path(outputs[role]))
    one.inputs = {"encoder": [], "tokenizer": [], "published": []}
    one.planned_with = lambda _: one
    sets = inputs.labelled if kind.verb is training.evaluate else inputs.images
    return SimpleNamespace(
        job=lambda *_, **__: one,
        kind_of=lambda _: "finetune",
        data_folders=lambda _: sets,
        encoders_of=lambda _: [inputs.encoder],
        features_of=lambda _: [],
    )


def done(kind: Kind, number: int, folder: Path, inputs: Inputs) -> Any:
    """Do the job; the config in what it left."""
    kind.verb(jobs(kind, number, folder, inputs), scale="test", **kind.arguments)
    return kind.stored(folder / next(iter(kind.outputs.values())))


@pytest.mark.parametrize("name", KINDS)
def test_a_job_of_other_settings_is_done_anew(name, inputs, tmp_path):
    kind = KINDS[name]
    for number in (1, 2, 1):
        assert done(kind, number, tmp_path, inputs) == kind.config(number).as_json()
        for output in kind.outputs.values():
            remove(tmp_path / output)


@pytest.mark.parametrize("lost", ["manifest.json", "model.safetensors", ""])
def test_a_first_stage_comes_back_whole(lost, inputs, tmp_path, capsys):
    kind, stage = KINDS["first_stage"], tmp_path / "first_stage"
    done(kind, 1, tmp_path, inputs)
    files = {path.name: path.read_bytes() for path in stage.iterdir()}
    remove(stage / lost)
    capsys.readouterr()
    done(kind, 1, tmp_path, inputs)
    assert f"{stage} is finished, nothing to do" in capsys.readouterr().out
    assert {path.name: path.read_bytes() for path in stage.iterdir()} == files
