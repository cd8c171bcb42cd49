"""All that saves something: how its older state is made, how it saves, and how far what it left has come."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from helpers.pretraining import ALONE, SWIN, Images, packed, pretrain_config, stripes, tokenizer_config
from torch import nn

from simmim import plugin
from simmim.cli._finished import is_finished, worker
from simmim.config.evaluate_models import EvaluateConfig
from simmim.config.evaluation import features_config
from simmim.data.packing import pack
from simmim.data.samples import RawSample
from simmim.data.shards import Shards
from simmim.evaluate import job
from simmim.evaluate.features import write_features
from simmim.evaluate.stored_features import open_features
from simmim.own import project
from simmim.pretraining import run, tokenizer
from simmim.storage import files, finished, model_file, records
from simmim.storage.encoder_file import save_encoder
from simmim.storage.identity import Identity
from simmim.train import checkpoint
from simmim.train.loop import Trained

Report = Callable[[int], None]  # how far it has come and will not fall back
SPLITS = "train", "val"
QUICK = (
    *("file", "new_folders", "folder", "checkpoints", "outputs", "outputs_brought_back"),
    *("pretraining", "packed_set"),
)
LONG = "pretraining_deleted", "evaluation", "features", "tokenizer", "project"
NAMES = (*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in LONG))
_IDENTITY = Identity({"of": "what a job leaves"})
COLOURS = {"name": "colour_clusters", "clusters": 6, "images": 16, "image_px": 16}


class Saver(NamedTuple):
    """What saves in a folder.

    Args:
        prepare: makes the older state in an empty folder.
        save: from there, or from what a power cut or a full disk has left of itself; reports as it goes on.
        read: how far what is in the folder has come, as the product finds it; fails where content is wrong.
        before: how far the older state is, which is there until more is reported; -1 where nothing can be read yet.
        done: how far it is in the end.
    """

    prepare: Callable[[Path], None]
    save: Callable[[Path, Report], None]
    read: Callable[[Path], int]
    before: int
    done: int


class Labelled(Images):
    """Six images of two classes."""

    def __init__(self) -> None:
        super().__init__(stripes, 6)

    def classes(self) -> list[str]:
        return ["cat", "dog"]

    def samples(self) -> Iterator[RawSample]:
        return (replace(sample, label=number % 2) for number, sample in enumerate(super().samples()))


class Inputs:
    """Packed sets and an encoder that savers start from.

    Args:
        folder: an empty one, outside of what is watched.
    """

    def __init__(self, folder: Path) -> None:
        self.images = packed(folder / "images")
        self.labelled = {split: folder / "labelled" / split for split in SPLITS}
        for split in SPLITS:
            pack_labelled(self.labelled[split])
        self.encoder = folder / "encoder.safetensors"
        torch.manual_seed(0)
        swin = plugin.build("encoders", plugin.Component.model_validate(SWIN), image_px=(32, 32), in_channels=3)
        statistics = {"mean": [0.5] * 3, "std": [0.25] * 3}
        save_encoder(self.encoder, swin, {"encoder": SWIN, "image_px": [32, 32], "in_channels": 3} | statistics)


def savers(inputs: Inputs) -> dict[str, Saver]:
    """All of them by name."""
    return {
        "file": Saver(lambda folder: _write(folder, 0), _write_one, lambda folder: int(_text(folder)), 0, 1),
        "new_folders": Saver(_nothing, _write_deep, lambda folder: int(_text(folder / "a/b")), -1, 1),
        "folder": Saver(lambda folder: _write_pair(folder, 0), _write_one_pair, _read_pair, 0, 1),
        "checkpoints": Saver(_checkpoint, _checkpoints, lambda folder: _step(folder / "state"), 1, 4),
        "outputs": Saver(_worked, _keep, _brought_back, 1, 9),
        "outputs_brought_back": Saver(_lost, _bring_back, _brought_back, 9, 9),
        **_pretraining(inputs),
        "evaluation": _evaluation(inputs),
        "features": _features(inputs),
        "packed_set": Saver(_pack_others, lambda folder, _: pack_labelled(folder / "set"), _read_set, -1, 1),
        "tokenizer": _tokenizer(inputs),
        "project": Saver(_nothing, _begin, _begun, 0, 1),
    }


def _nothing(folder: Path) -> None:
    pass


# One file, and a folder of two that belong together


def _write(folder: Path, number: int) -> None:
    files.write_text(folder / "a.txt", f"{number:04}")


def _write_one(folder: Path, report: Report) -> None:
    _write(folder, 1)


def _write_deep(folder: Path, report: Report) -> None:
    _write(folder / "a" / "b", 1)


def _text(folder: Path) -> str:
    text = (folder / "a.txt").read_text()
    assert text in ("0000", "0001")
    return text


def _write_pair(folder: Path, number: int) -> None:
    with files.whole_folder(folder / "pair") as draft:
        _write(draft / "left", number)
        _write(draft / "right", number)


def _write_one_pair(folder: Path, report: Report) -> None:
    _write_pair(folder, 1)


def _read_pair(folder: Path) -> int:
    left, right = (_text(folder / "pair" / name) for name in ("left", "right"))
    assert left == right
    return int(left)


# Checkpoints, and what a job leaves


def _checkpoint(folder: Path, step: int = 1) -> None:
    model = nn.Linear(2, 2)
    nn.init.constant_(model.weight, float(step))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0, weight_decay=0.0)
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    checkpoint.save(folder / "state", step, model, optimizer, history=[])


def _checkpoints(folder: Path, report: Report) -> None:
    for step in (2, 3, 4):
        _checkpoint(folder, step)
        report(step)


def _step(state: Path) -> int:
    found = checkpoint.newest(state)
    if found is None:
        return 0
    model = nn.Linear(2, 2)
    checkpoint.restore(found[0], model, torch.optim.AdamW(model.parameters()))
    assert (model.weight == found[1]["step"]).all()
    return found[1]["step"]


def _worked(folder: Path) -> None:
    """A job that has its last checkpoint and has written its outputs, a file and a folder."""
    _checkpoint(folder)
    _write_outputs(folder)


def _write_outputs(folder: Path) -> None:
    _write(folder, 1)
    _write_pair(folder, 1)


def _outputs(folder: Path) -> list[Path]:
    return [folder / "a.txt", folder / "pair"]


def _keep(folder: Path, report: Report) -> None:
    finished.bring_back(folder / "state", _outputs(folder), _IDENTITY)
    if not all(output.exists() for output in _outputs(folder)):
        _write_outputs(folder)
    finished.keep(folder / "state", _outputs(folder), _IDENTITY)


def _lost(folder: Path) -> None:
    _worked(folder)
    finished.keep(folder / "state", _outputs(folder), _IDENTITY)
    _delete(_outputs(folder))


def _bring_back(folder: Path, report: Report) -> None:
    finished.bring_back(folder / "state", _outputs(folder), _IDENTITY)
    assert _text(folder) == "0001" and _read_pair(folder) == 1


def _brought_back(folder: Path) -> int:
    """9 where the outputs come back after Snakemake has deleted them, else the step of the checkpoint."""
    _delete(_outputs(folder))
    finished.bring_back(folder / "state", _outputs(folder), _IDENTITY)
    if not all(output.exists() for output in _outputs(folder)):
        return _step(folder / "state")
    assert _text(folder) == "0001" and _read_pair(folder) == 1
    return 9


def _delete(outputs: list[Path]) -> None:
    for output in outputs:
        files.remove(output)


# Trainings and evaluations


def _pretraining(inputs: Inputs) -> dict[str, Saver]:
    """One whose training is done and whose outputs are not written; whether Snakemake deletes these or not."""
    config = pretrain_config(train={"epochs": 1, "save_every_steps": 2})
    identity = run.identity_of(config, 0, job_digests(inputs.images), run.FRESH)

    def outputs(folder: Path) -> dict[str, str]:
        names = {"encoder": "encoder.safetensors", "head": "head.safetensors", "records": "train.parquet"}
        return {role: str(folder / "run" / name) for role, name in names.items()}

    def prepare(folder: Path) -> None:
        with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(run, "_rows", _interrupt)
            save(folder, _interrupt)

    def save(folder: Path, report: Report) -> None:
        made = outputs(folder)
        with worker(folder / "run" / "state", made, lambda: identity, ALONE):
            if not is_finished(made, identity):
                run.pretrain(config, 0, inputs.images, folder / "run", ALONE)

    def read(folder: Path, deletes: bool) -> int:
        made, state = outputs(folder), folder / "run" / "state"
        if deletes:
            _delete([Path(file) for file in made.values()])
        finished.bring_back(state, map(Path, made.values()), identity)
        if is_finished(made, identity):
            return 3
        return checkpoint.newest(state)[1]["step"]

    return {
        name: Saver(prepare, save, functools.partial(read, deletes=deletes), 2, 3)
        for name, deletes in (("pretraining", False), ("pretraining_deleted", True))
    }


def job_digests(sets: dict[str, Path]) -> dict[str, str]:
    """Digests of packed sets by split."""
    return {split: Shards(folder).digest for split, folder in sets.items()}


def _interrupt(*arguments: object) -> None:
    raise KeyboardInterrupt


def evaluate_config(task: str, settings: dict, seeds: int, train: dict | None = None) -> EvaluateConfig:
    """A small evaluation of an encoder for images of 32 pixels."""
    source = {"source": {"name": "image_folder", "root": "made_up"}, "numerics": 1}
    made = {"scale": "test", "run": "made_up", "evaluation": task, "task": task, "role": "classify"}
    made |= {"data": {split: {"dataset": split, "split": split} | source for split in SPLITS}, "pretraining": "0"}
    made |= {"numerics": {}, "settings": {"image_px": 32, "score_batch": 4} | settings, "seeds": seeds, "train": train}
    return EvaluateConfig.model_validate(made)


def _evaluation(inputs: Inputs) -> Saver:
    """A fine-tuning with two seeds, whose training is left out; they leave their encoders."""
    train = {"epochs": 1, "batch": 2, "base_lr": 1e-3, "precision": "fp32", "log_every_steps": 9, "save_every_steps": 9}
    config = evaluate_config("finetune", {}, 2, train)
    identity = job.identity_of(config, job_digests(inputs.labelled), [inputs.encoder])

    def outputs(folder: Path) -> dict[str, str]:
        return {"records": str(folder / "finetune.parquet"), "encoders": str(folder / "finetune.encoders")}

    def save(folder: Path, report: Report) -> None:
        made = outputs(folder)
        with pytest.MonkeyPatch.context() as patch, worker(folder / "finetune.state", {}, lambda: identity, ALONE):
            patch.setattr(job, "fit", lambda *_: Trained())
            patch.setattr(job, "_records_of", _reporting(job._records_of, report))
            if not is_finished(made, identity):
                job.evaluate(config, [inputs.encoder], inputs.labelled, folder / "finetune.parquet", ALONE)

    def read(folder: Path) -> int:
        """How many seeds are done; 3 where all is."""
        if is_finished(outputs(folder), identity):
            return 3
        state = folder / "finetune.state"
        done = [file for file in sorted(state.glob("seed*.parquet")) if records.metadata(file)]
        for file in done:
            model_file.read(file.with_suffix(".safetensors"), "encoder")
        return len(done)

    return Saver(_nothing, save, read, 0, 3)


def _reporting(records_of: Callable, report: Report) -> Callable:
    def reported(one: job.Job) -> job.Kept:
        kept = records_of(one)
        report(one.seed + 1)
        return kept

    return reported


def _features(inputs: Inputs) -> Saver:
    config = features_config(evaluate_config("knn", {"score_crop": 1.0, "held_out": 0.25}, 1))
    made_of = config, inputs.encoder, inputs.labelled
    sets = {split: Shards(folder) for split, folder in inputs.labelled.items()}
    expected: list[np.ndarray] = []

    def save(folder: Path, report: Report) -> None:
        write_features(*made_of, folder / "features", ALONE)
        expected[:] = expected or [np.array(each) for each in opened(folder)]

    def opened(folder: Path) -> list[np.ndarray]:
        found = open_features(folder / "features", config, inputs.encoder, sets)
        return [array for split in config.data for array in found[split].maps]

    def read(folder: Path) -> int:
        maps = opened(folder)
        assert not expected or all(np.array_equal(*pair) for pair in zip(maps, expected, strict=True))
        return 1

    return Saver(_nothing, save, read, -1, 1)


def pack_labelled(folder: Path) -> None:
    """Two shards."""
    pack(Labelled(), folder, codec="png", shard_samples=4, short_side_px=None)


def _pack_others(folder: Path) -> None:
    pack(Images(stripes, 5), folder / "set", codec="png", shard_samples=4, short_side_px=None)


def _read_set(folder: Path) -> int:
    shards = Shards(folder / "set")
    shards.verify()
    return int(len(shards) == 6)


def _tokenizer(inputs: Inputs) -> Saver:
    config = tokenizer_config(COLOURS)

    def save(folder: Path, report: Report) -> None:
        out, identity = folder / "colours.safetensors", tokenizer.identity_of(config, inputs.images["train"])
        with worker(tokenizer.state_of(out), {"tokenizer": str(out)}, lambda: identity, ALONE):
            if not out.is_file():
                tokenizer.make_tokenizer(config, inputs.images["train"], out, ALONE)
            tokenizer.load_tokenizer(out, config)

    def read(folder: Path) -> int:
        tokenizer.load_tokenizer(folder / "colours.safetensors", config)
        return 1

    return Saver(_nothing, save, read, -1, 1)


# The project of own images: until it is all there, the folder counts as empty

_PROJECT = project.Draft(Path("/photos"), {}, {"mine": {"stage": "pretrain"}}, {"pretrain": "images"}, {"run": "mine"})


def _begin(folder: Path, report: Report) -> None:
    if not project.there_is(folder / "mine"):
        _PROJECT.write(folder / "mine")


def _begun(folder: Path) -> int:
    """Refuses a folder that holds something else."""
    if not project.there_is(folder / "mine"):
        return 0
    assert project.Project(folder / "mine").note == _PROJECT.note
    assert all((folder / "mine" / "config" / name).read_text() == text for name, text in _PROJECT.files().items())
    return 1
