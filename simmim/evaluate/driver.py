"""Runs one evaluation of one pre-trained run over all its seeds and writes their records as one Parquet file."""

from __future__ import annotations

import functools
import importlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from simmim import records
from simmim.data.shards import Shards
from simmim.evaluate import knn, probe
from simmim.evaluate.classify_settings import FrozenSettings
from simmim.evaluate.features import Features, extract, split_held_out, standardised
from simmim.evaluate.settings import SETTINGS
from simmim.files import sync_folder
from simmim.model import load_encoder, save_encoder
from simmim.train.differences import refuse_changed
from simmim.train.loop import fit
from simmim.train.parameter_groups import parameter_groups
from simmim.train.processes import Processes, autocast_dtype, environment, seed_libraries
from simmim.train.settings import TrainSettings

Row = tuple[str, str, float]


@dataclass(frozen=True)
class Job:
    """One evaluation with one seed.

    Args:
        encoder_file: the pre-trained or fine-tuned encoder it starts from.
        state: folder for its checkpoints; what it leaves is kept beside it until all seeds are done.
    """

    config: Mapping[str, Any]
    encoder_file: Path
    train: Shards
    val: Shards
    seed: int
    state: Path
    processes: Processes

    @property
    def settings(self) -> Any:
        """Settings of the task."""
        return SETTINGS[self.config["task"]](**self.config["settings"])

    @property
    def training(self) -> TrainSettings:
        """Settings of the loop."""
        return TrainSettings(**self.config["train"])

    @property
    def label(self) -> str:
        """Name on the status line."""
        return f"{self.config['scale']}/{self.config['run']}/{self.config['evaluation']} seed {self.seed}"

    @property
    def origin(self) -> records.Origin:
        """Where its numbers come from."""
        names = {key: self.config[key] for key in ("scale", "run", "config_hash")}
        return records.Origin(
            **names, task=self.config["evaluation"], seed=self.seed, data_digest=self.val.digest,
            code_version=records.code_version(),
        )  # fmt: skip

    @property
    def kept(self) -> list[Path]:
        """What a finished seed leaves: its records and, where it fine-tunes, its encoder."""
        suffixes = (".parquet", ".safetensors") if self.config["task"] == "finetune" else (".parquet",)
        return [self.state.with_suffix(suffix) for suffix in suffixes]

    def encoder(self) -> tuple[torch.nn.Module, dict[str, Any]]:
        """The encoder it starts from at this evaluation's input size, and its header."""
        side = self.settings.image_px
        return load_encoder(self.encoder_file, (side, side), **self.config["encoder"])


def evaluate(
    config: Mapping[str, Any], encoders: Sequence[Path], data: Mapping[str, Path], out: Path, processes: Processes
) -> None:
    """Evaluate a run with every seed of the config and write the records to `out`.

    A fine-tuning leaves its encoders too, as `seed0.safetensors` and so on in `{name of out}.encoders`. A seed that is
    done is kept beside the checkpoints, so an interrupted evaluation goes on with the next one.

    Args:
        config: as `Sheets.evaluation` completes it.
        encoders: those it starts from, by the seed they were trained with; seed s takes number s modulo their count.
        data: packed data sets by split, 'train' and 'val'.

    Raises:
        ValueError: for data or settings that do not fit, or unfinished work of another config.
    """
    train, val = Shards(data["train"]), Shards(data["val"])
    if train.classes != val.classes:
        difference = sorted(set(train.classes) ^ set(val.classes)) or "their order"
        raise ValueError(f"{train.folder} and {val.folder} have different classes: {difference}")
    state = out.parent / f"{out.stem}.state"
    jobs = [
        Job(config, encoders[seed % len(encoders)], train, val, seed, state / f"seed{seed}", processes)
        for seed in range(config["seeds"])
    ]
    rows = [row for job in jobs for row in _records_of(job)]
    if processes.leads:
        if config["task"] == "finetune":
            _hand_on([job.kept[-1] for job in jobs], out.with_suffix(".encoders"))
        precision = (config["train"] or {}).get("precision", "auto")
        machine = environment(processes, autocast_dtype(precision, processes.device))
        digests = {"train": train.digest, "val": val.digest}
        records.write(out, rows, config=config, data_digests=digests, environment=machine)
        shutil.rmtree(state, ignore_errors=True)


def _hand_on(encoders: Sequence[Path], folder: Path) -> None:
    """Copy encoders to their folder, whole or not at all; the originals stay until the records are written too."""
    part = folder.with_name(f".{folder.name}.part")
    for old in (part, folder):
        shutil.rmtree(old, ignore_errors=True)
    part.mkdir()
    for encoder in encoders:
        shutil.copyfile(encoder, part / encoder.name)
    part.rename(folder)
    sync_folder(folder.parent)


def _records_of(job: Job) -> list[dict[str, Any]]:
    """Records of one seed, from what an earlier try kept if it finished the seed."""
    done = job.kept[0]
    if done.is_file():
        refuse_changed(done, records.metadata(done)["config"], job.config, remove=done.parent)
    if all(file.is_file() for file in job.kept):
        return records.read([done])[records.SCHEMA.names].to_dict("records")
    config, origin = job.config, job.origin
    seed_libraries(job.seed, 0, 0)  # the same fresh head on every rank
    history, scores = _TASKS.get(config["task"], _transfer)(job)
    steps = history[-1]["step"] if history else 0
    rows = [records.record(origin, entry["step"], "train_loss", entry["loss"]) for entry in history]
    rows += [records.record(origin, steps, metric, value, detail) for metric, detail, value in scores]
    if job.processes.leads:
        records.write(done, rows, config=config)
        shutil.rmtree(job.state, ignore_errors=True)
    return rows


def _transfer(job: Job) -> tuple[list[dict[str, float]], list[Row]]:
    """Train a task on top of the encoder, then score it: fine-tuning, detection, segmentation."""
    module = importlib.import_module(f"simmim.evaluate.{job.config['task']}")
    encoder, header = job.encoder()
    task = module.build_task(encoder, header, job.settings, job.train.classes)
    data = module.dataset(job.train, job.settings, job.seed, header)
    prefix = next(name for name, part in task.named_modules() if part is encoder) + "."
    skip = encoder.no_weight_decay()
    groups = parameter_groups(task, prefix, job.training.weight_decay, job.training.layer_decay, skip)
    history = _fit(job, task, data, groups)
    scores = module.score(task, job.val, job.settings, job.processes.device)
    if job.config["task"] == "finetune" and job.processes.leads:
        made_by = asdict(replace(job.origin, data_digest=job.train.digest))
        save_encoder(job.kept[-1], encoder, header | made_by | {"step": history[-1]["step"] if history else 0})
    return history, scores


def _probe(job: Job) -> tuple[list[dict[str, float]], list[Row]]:
    train, val = (_features(job, shards) for shards in (job.train, job.val))
    kept, held_out = split_held_out(train, job.settings.held_out, job.seed)
    kept, held_out, val = standardised(kept, [held_out, val])
    task = probe.Probe([block.shape[1] for block in kept.blocks], len(job.train.classes))
    groups = [{"params": list(task.parameters()), "weight_decay": job.training.weight_decay}]
    history = _fit(job, task, probe.FeatureSet(kept), groups)
    return history, probe.rows(task, held_out, val)


def _knn(job: Job) -> tuple[list[dict[str, float]], list[Row]]:
    train, val = (_features(job, shards) for shards in (job.train, job.val))
    return [], knn.rows(train, val, job.settings, job.seed, len(job.train.classes))


_TASKS = {"probe": _probe, "knn": _knn}


def _features(job: Job, shards: Shards) -> Features:
    dtype = autocast_dtype((job.config["train"] or {}).get("precision", "auto"), job.processes.device)
    transfer = tuple(sorted(job.config["encoder"].items()))
    return _extracted(job.encoder_file, transfer, shards.folder, job.settings, job.processes.device, dtype)


@functools.lru_cache(maxsize=2)
def _extracted(
    encoder_file: Path,
    transfer: tuple[tuple[str, Any], ...],
    folder: Path,
    settings: FrozenSettings,
    device: torch.device,
    dtype: torch.dtype | None,
) -> Features:
    """Frozen features of a set; seeds that start from the same encoder share them."""
    encoder, header = load_encoder(encoder_file, (settings.image_px,) * 2, **dict(transfer))
    return extract(encoder, header, Shards(folder), settings, device, dtype)


def _fit(job: Job, task, dataset, groups) -> list[dict[str, float]]:
    return fit(
        task, dataset, groups, job.training, seed=job.seed, state=job.state, config=dict(job.config),
        processes=job.processes, label=job.label,
    )  # fmt: skip
