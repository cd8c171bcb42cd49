"""Runs one evaluation of one pre-trained run over all its seeds and writes their records as one Parquet file."""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from simmim.config.differences import refuse_changed
from simmim.config.training import TrainSettings
from simmim.data.requirements import require_labels, require_masks, require_same_classes
from simmim.data.shards import Shards
from simmim.evaluate import frozen
from simmim.evaluate.feature_sets import precision_of
from simmim.evaluate.settings import SETTINGS
from simmim.storage import records
from simmim.storage.encoder_file import load_encoder, save_encoder
from simmim.storage.files import sync_folder
from simmim.train.loop import History, Run, fit
from simmim.train.parameter_groups import parameter_groups
from simmim.train.processes import Processes, autocast_dtype, environment, seed_libraries
from simmim.train.task import TrainData, TrainTask

Row = tuple[str, str, float]


@dataclass(frozen=True)
class Job:
    """One evaluation with one seed.

    Args:
        encoder_file: the pre-trained or fine-tuned encoder it starts from.
        state: folder for its checkpoints; what it leaves is kept beside it until all seeds are done.
        features: folder of the encoder's frozen features of each split, for a task that reads them.
        further: a set that is scored beside `val`; its rows have its name as their detail.
    """

    config: Mapping[str, Any]
    encoder_file: Path
    train: Shards
    val: Shards
    seed: int
    state: Path
    processes: Processes
    features: Mapping[str, Path] = field(default_factory=dict)
    further: Shards | None = None

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

    def fit(self, task: TrainTask, dataset: TrainData, groups: list[dict[str, Any]]) -> History:
        """Train a task; returns the log of `train.loop.fit`."""
        run = Run(self.seed, self.state, dict(self.config), self.label)
        return fit(task, dataset, groups, self.training, run, self.processes)


def evaluate(
    config: Mapping[str, Any],
    encoders: Sequence[Path],
    data: Mapping[str, Path],
    out: Path,
    processes: Processes,
    features: Sequence[Mapping[str, Path]] = (),
) -> None:
    """Evaluate a run with every seed of the config and write the records to `out`.

    A fine-tuning leaves its encoders too, as `seed0.safetensors` and so on in `{name of out}.encoders`. A seed that is
    done is kept beside the checkpoints, so an interrupted evaluation goes on with the next one.

    Args:
        config: as `Sheets.evaluation` completes it.
        encoders: those it starts from, by the seed they were trained with; seed s takes number s modulo their count.
        data: packed data sets by split, 'train' and 'val', and of a fine-tuning 'further', a set that is scored too.
        features: for a task that reads them, folders of frozen features by split, for each of `encoders`.

    Raises:
        ValueError: for data or settings that do not fit, or unfinished work of another config.
    """
    sets = {split: Shards(folder) for split, folder in data.items()}
    train, val, further = sets["train"], sets["val"], sets.get("further")
    require_same_classes(train, (val, further) if further else (val,))
    for each in sets.values() if config["task"] in _NEEDS else ():
        _NEEDS[config["task"]](each)
    state = out.parent / f"{out.stem}.state"
    jobs = []
    for seed in range(config["seeds"]):
        start = seed % len(encoders)
        read = features[start] if features else {}
        jobs.append(Job(config, encoders[start], train, val, seed, state / f"seed{seed}", processes, read, further))
    rows = [row for job in jobs for row in _records_of(job)]
    if processes.is_main_process:
        if config["task"] == "finetune":
            _hand_on([job.kept[-1] for job in jobs], out.with_suffix(".encoders"))
        machine = environment(processes, autocast_dtype(precision_of(config), processes.device))
        digests = {split: each.digest for split, each in sets.items()}
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
    if job.processes.is_main_process:
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
    history = job.fit(task, data, groups)
    scores = _scores(job, module, task)
    if job.config["task"] == "finetune" and job.processes.is_main_process:
        made_by = asdict(replace(job.origin, data_digest=job.train.digest))
        save_encoder(job.kept[-1], encoder, header | made_by | {"step": history[-1]["step"] if history else 0})
    return history, scores


def _scores(job: Job, module: ModuleType, task: torch.nn.Module) -> list[Row]:
    """Scores on the evaluation set, and on a further one under its name."""
    rows = module.score(task, job.val, job.settings, job.processes.device)
    if job.further:
        name = job.config["data"]["further"]["dataset"]
        further = module.score(task, job.further, job.settings, job.processes.device)
        rows += [(metric, name, value) for metric, _, value in further]
    return rows


_NEEDS = {"detect": require_masks} | dict.fromkeys(("finetune", "attentive", "probe", "knn"), require_labels)
_TASKS = {"probe": frozen.probe_rows, "knn": frozen.knn_rows}
