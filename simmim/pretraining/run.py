"""Pre-training (section 3): fit a method to unlabelled images, keep encoder, head and log."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from simmim.config.differences import refuse_changed
from simmim.config.models import PretrainConfig
from simmim.config.sections import ImagesSection
from simmim.data.bands import Bands
from simmim.data.shards import Shards
from simmim.methods._method import Method
from simmim.pretraining.method import build_method
from simmim.pretraining.tokenizer import load_tokenizer
from simmim.storage import finished, model_file, records
from simmim.storage.encoder_file import save_encoder, source_digest, start_from
from simmim.storage.identity import Identity, code_version
from simmim.storage.sealed_json import digest_of, read_sealed
from simmim.train import speed, spikes
from simmim.train.checkpoint import MANIFEST, verified_manifest
from simmim.train.loop import Run, Trained, Watcher, fit
from simmim.train.parameter_groups import parameter_groups
from simmim.train.processes import Processes, autocast_dtype, peak_bytes, seed_libraries, told_by_main
from simmim.train.progress import busy


@dataclass(frozen=True)
class Init:
    """The files that a training begins with; without the first two it begins with fresh weights.

    Args:
        first_stage: checkpoint of a first stage, its own or a shorter run's.
        stage_config: what that must have been trained with.
        encoder: file of an encoder whose weights are taken over.
        tokenizer: file of the tokenizer that the target names, if it names one.
    """

    first_stage: Path | None = None
    stage_config: PretrainConfig | None = None
    encoder: Path | None = None
    tokenizer: Path | None = None


FRESH = Init()


def identity_of(config: PretrainConfig, seed: int, data: Mapping[str, str], init: Init) -> Identity:
    """What a pre-training and its records belong to.

    Args:
        data: digests of packed sets by split.
    """
    digests = {"tokenizer": model_file.digest(init.tokenizer)} if init.tokenizer else {}
    digests |= {"encoder": source_digest(init.encoder)} if init.encoder else {}
    if init.first_stage:
        digests["first_stage"] = digest_of(init.first_stage / MANIFEST)
    return Identity(config.as_json(), seed, data, digests)


def images_of(config: PretrainConfig, train_set: Shards) -> ImagesSection:
    """The section `images` of a config, with the statistics of its training images if they are to be measured.

    Raises:
        ValueError: for a band that is the same everywhere.
    """
    bands = train_set.bands
    if not config.images.is_measured:
        return config.images
    assert bands is not None, "the config does not allow it"
    if 0 in bands.std:
        raise ValueError(
            f"band {bands.std.index(0) + 1} of {train_set.folder} has one value everywhere and cannot be normalised: "
            "leave it out of the files, or give images.mean and images.std as numbers"
        )
    return config.images.normalised_by(bands.mean, bands.std)


def state_of(folder: Path) -> Path:
    """Folder of what a pre-training has done so far."""
    return folder / "state"


def stage_state_of(folder: Path) -> Path:
    """Folder of what a first stage has done so far."""
    return folder.with_name(f"{folder.name}_state")


def pretrain(
    config: PretrainConfig,
    seed: int,
    data: Mapping[str, Path],
    out: Path,
    processes: Processes,
    init: Init = FRESH,
    watchers: Sequence[Watcher] = (),
) -> None:
    """Run one pre-training and write `encoder.safetensors`, `head.safetensors` and `train.parquet` to `out`.

    Args:
        data: packed data sets by split, 'train' and 'val'.
        watchers: are shown the log as it is written.

    Raises:
        ValueError: for a config or data that do not fit each other.
    """
    train_set, val = Shards(data["train"]), Shards(data["val"])
    method, trained = _fit(config, seed, train_set, state_of(out), processes, init, watchers=watchers)
    if not processes.is_main_process:
        return
    origin = _origin(config, seed, train_set, init)
    rows = _rows(config, origin, method, trained, val, processes)
    header = _header(config, images_of(config, train_set), train_set.bands) | asdict(origin) | {"step": trained.step}
    head = None if config.head is None else config.head.model_dump(mode="json")
    model_file.write(out / "head.safetensors", method.get_submodule(method.kept_head), header | {"head": head})
    save_encoder(out / "encoder.safetensors", method.get_submodule(method.kept_encoder), header)
    identity = identity_of(config, seed, {"train": train_set.digest, "val": val.digest}, init)
    about = identity.as_json()
    about |= {"left": {name: model_file.digest(out / f"{name}.safetensors") for name in ("encoder", "head")}}
    about |= {"environment": trained.parts[-1]["environment"], "parts": trained.parts}
    records.write(out / "train.parquet", rows, **about, peak_bytes=peak_bytes(processes.device, trained.parts))  # last
    kept = [out / name for name in ("encoder.safetensors", "head.safetensors", "train.parquet")]
    finished.keep(state_of(out), kept, identity)


def pretrain_first_stage(
    config: PretrainConfig, seed: int, data: Mapping[str, Path], out: Path, processes: Processes, init: Init = FRESH
) -> None:
    """Pre-train up to the first milestone and write the checkpoint there to `out`; arguments as `pretrain`."""
    train_set = Shards(data["train"])
    identity = identity_of(config, seed, {"train": train_set.digest}, init)
    if told_by_main(lambda: _stage_is_finished(out, identity), processes):
        return
    _fit(config, seed, train_set, stage_state_of(out), processes, init, stop=out)
    if processes.is_main_process:
        finished.keep(stage_state_of(out), [out], identity)


def _stage_is_finished(out: Path, identity: Identity) -> bool:
    if not (out / MANIFEST).is_file():
        return False
    refuse_changed(out, verified_manifest(out), identity, remove=out)
    print(f"{out} is finished, nothing to do")
    return True


def _fit(
    config: PretrainConfig,
    seed: int,
    train_set: Shards,
    state: Path,
    processes: Processes,
    init: Init,
    stop: Path | None = None,
    watchers: Sequence[Watcher] = (),
) -> tuple[Method, Trained]:
    """The trained method and how its training went."""
    seed_libraries(seed, 0, 0)  # the same initial weights on every rank
    tokenizer = load_tokenizer(init.tokenizer, config.tokenizer) if init.tokenizer else None
    images = images_of(config, train_set)
    method = build_method(config, tokenizer, images)
    encoder = method.get_submodule(method.trained_encoder)
    said = _begin(encoder, init.encoder, images, config.train.epochs) if init.encoder else []
    if said and processes.is_main_process:
        print(*said, sep="\n", flush=True)
    skip, settings = encoder.no_weight_decay(pretraining=True), config.train
    groups = parameter_groups(method, f"{method.trained_encoder}.", settings.weight_decay, settings.layer_decay, skip)
    label = f"{config.scale}/{config.run} seed {seed}"
    identity, stage = identity_of(config, seed, {"train": train_set.digest}, init), None
    if init.first_stage:
        stage = identity_of(init.stage_config, seed, identity.data_digests, Init(tokenizer=init.tokenizer))
    run = Run(identity, state, label, init.first_stage, stage, first_stage=stop, watchers=watchers)
    return method, fit(method, method.dataset(train_set, seed), groups, settings, run, processes)


def _begin(encoder: nn.Module, file: Path, images: ImagesSection, epochs: float) -> list[str]:
    """Load the weights that a training begins with; returns what is to be said of them.

    Raises:
        ValueError: for a file that does not fit, also by the statistics of its images where nothing is learnt.
    """
    header = start_from(encoder, file)
    left = header.get("left_aside", ())
    said = [f"{file}: left aside {', '.join(left)}"] if left else []
    theirs = {key: [float(f"{value:.6g}") for value in header[key]] for key in ("mean", "std") if key in header}
    if all(np.allclose(value, getattr(images, key), rtol=0, atol=1e-5) for key, value in theirs.items()):
        return said
    due = " ".join(f"images.{key}={json.dumps(value, separators=(',', ':'))}" for key, value in theirs.items())
    other = f"{file} was trained with another mean and deviation of the images than this run's"
    if epochs == 0:
        raise ValueError(f"{other}, which trains nothing (train.epochs=0): set {due}")
    return [*said, f"{other} ({due})"]


def _origin(config: PretrainConfig, seed: int, train_set: Shards, init: Init) -> records.Origin:
    return records.Origin(
        config.scale,
        config.run,
        "pretrain",
        seed,
        config.hash,
        code_version(),
        config.data["train"].dataset,
        train_set.digest,
        _digest_of_encoder(init),
    )


def _digest_of_encoder(init: Init) -> str:
    """Of the encoder file that a training began with, by way of its own first stage, too; "" for none."""
    if init.encoder:
        return source_digest(init.encoder)
    stage = read_sealed(init.first_stage / MANIFEST) if init.first_stage else {}
    return stage.get("made_from", {}).get("encoder", "")


def _rows(
    config: PretrainConfig, origin: records.Origin, method: Method, trained: Trained, val: Shards, processes: Processes
) -> list[dict[str, Any]]:
    """The log, what the training cost, and the method's losses on the validation set."""
    log, step = trained.history, trained.step
    rows = [records.record(origin, row["step"], name, row[name]) for row in log for name in row.keys() - {"step"}]
    dtype = autocast_dtype(config.train.precision, processes.device)
    cost = speed.cost(log, step * config.train.batch, trained.parts[-1], processes, dtype)
    cost["loss_spikes"] = spikes.count(log)
    rows += [records.record(origin, step, metric, value) for metric, value in cost.items()]
    measured_on = replace(origin, dataset=config.data["val"].dataset, data_digest=val.digest)
    with busy(f"{config.scale}/{config.run} seed {origin.seed}: validating"):
        losses = method.validate(val, dtype)
    return rows + [records.record(measured_on, step, metric, value) for metric, value in losses.items()]


def _header(config: PretrainConfig, images: ImagesSection, bands: Bands | None) -> dict[str, Any]:
    """What an encoder file says about how to rebuild the encoder, to read and normalise images, and what trained it."""
    statistics = {"in_channels": images.channel_count, "mean": images.mean, "std": images.std}
    method = {
        "method": config.method.name if config.train.epochs else "",
        "begun_with_encoder": bool(config.init.encoder),
    }
    encoder = {"encoder": config.encoder.model_dump(mode="json"), "image_px": config.geometry.image_px}
    return encoder | statistics | method | ({"bits": bands.bits} if bands else {})
