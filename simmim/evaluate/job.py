"""Runs one evaluation of one pre-trained run over all its seeds and writes their records as one Parquet file."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from simmim import plugin
from simmim.config.differences import refuse_changed
from simmim.config.evaluate_models import EvaluateConfig
from simmim.config.evaluation import features_config
from simmim.data.requirements import require_same_classes
from simmim.data.shards import Shards
from simmim.evaluate.feature_rows import Features
from simmim.evaluate.features import open_features
from simmim.evaluate.task import Inputs, Task
from simmim.storage import model_file, records
from simmim.storage.encoder_file import load_encoder, save_encoder
from simmim.storage.files import sync_folder
from simmim.storage.identity import code_version
from simmim.train.loop import History, Run, fit
from simmim.train.processes import Processes, autocast_dtype, environment, peak_bytes, seed_libraries
from simmim.train.task import TrainTask


@dataclass(frozen=True)
class Job:
    """One evaluation with one seed.

    Args:
        encoder_file: the pre-trained or fine-tuned encoder it starts from.
        sets: packed sets by split: 'train', which is learnt from, and those that are scored.
        state: folder for its checkpoints; what it leaves is kept beside it until all seeds are done.
        features: folder of the encoder's frozen features of each split, for a task that reads them.
    """

    config: EvaluateConfig
    encoder_file: Path
    sets: Mapping[str, Shards]
    seed: int
    state: Path
    processes: Processes
    features: Mapping[str, Path] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """Name on the status line."""
        return f"{self.config.scale}/{self.config.run}/{self.config.evaluation} seed {self.seed}"

    @property
    def kept(self) -> list[Path]:
        """What a finished seed leaves: its records and, of a task that leaves encoders, its encoder."""
        suffixes = (".parquet", ".safetensors") if self.config.settings.leaves_encoders else (".parquet",)
        return [self.state.with_suffix(suffix) for suffix in suffixes]

    def origin(self, split: str) -> records.Origin:
        """Where numbers that were measured on a split come from."""
        config = self.config
        return records.Origin(
            scale=config.scale,
            run=config.run,
            evaluation=config.evaluation,
            seed=self.seed,
            config_hash=config.hash,
            code_version=code_version(),
            dataset=config.data[split].dataset,
            data_digest=self.sets[split].digest,
            encoder_digest=model_file.digest(self.encoder_file),
        )

    def inputs(self) -> Inputs:
        """What its task is given; an encoder is loaded at the evaluation's input size."""
        config = self.config
        given: dict[str, Any] = {"settings": config.settings, "training": config.train, "seed": self.seed}
        given |= {"sets": self.sets, "device": self.processes.device}
        if config.settings.reads_features:
            return Inputs(**given, features={split: self._features(split) for split in self.features})
        encoder, header = load_encoder(self.encoder_file, (config.settings.image_px,) * 2, **config.encoder)
        return Inputs(**given, encoder=encoder, header=header)

    def fit(self, module: TrainTask, task: Task) -> History:
        """Train the module of a task; returns the log of `train.loop.fit`."""
        run = Run(self.seed, self.state, self.config.as_json(), self.label)
        return fit(module, task.dataset(), task.groups(module), self.config.train, run, self.processes)

    def _features(self, split: str) -> Features:
        wanted = features_config(self.config, split)
        return open_features(self.features[split], wanted, self.encoder_file, self.sets[split])


def evaluate(
    config: EvaluateConfig,
    encoders: Sequence[Path],
    data: Mapping[str, Path],
    out: Path,
    processes: Processes,
    features: Sequence[Mapping[str, Path]] = (),
) -> None:
    """Evaluate a run with every seed of the config and write the records to `out`.

    A task that leaves encoders leaves them as `seed0.safetensors` and so on in `{name of out}.encoders`. A seed that is
    done is kept beside the checkpoints, so an interrupted evaluation goes on with the next one.

    Args:
        encoders: those it starts from, by the seed they were trained with; seed s takes number s modulo their count.
        data: packed data sets by split, 'train', 'val' and where the config has one 'extra', which is scored too.
        features: for a task that reads them, folders of frozen features by split, for each of `encoders`.

    Raises:
        ValueError: for data or settings that do not fit, or unfinished work of another config.
    """
    sets = {split: Shards(folder) for split, folder in data.items()}
    _check(config, sets, processes)
    state = out.parent / f"{out.stem}.state"
    jobs = []
    for seed in range(config.seeds):
        start = seed % len(encoders)
        read = features[start] if features else {}
        jobs.append(Job(config, encoders[start], sets, seed, state / f"seed{seed}", processes, read))
    rows = [row for job in jobs for row in _records_of(job)]
    if processes.is_main_process:
        if config.settings.leaves_encoders:
            _hand_on([job.kept[-1] for job in jobs], out.with_suffix(".encoders"))
        machine = environment(processes, autocast_dtype(config.precision, processes.device), config.train)
        digests = {split: each.digest for split, each in sets.items()}
        used = peak_bytes(processes.device)
        records.write(out, rows, config=config.as_json(), data_digests=digests, environment=machine, peak_bytes=used)
        shutil.rmtree(state, ignore_errors=True)


def _check(config: EvaluateConfig, sets: Mapping[str, Shards], processes: Processes) -> None:
    """Refuse what would only fail, or be scored wrongly, after the training."""
    if config.train:
        config.settings.check_training(config.train, processes.world)
    require_same_classes(sets["train"], sets.values())
    for each in sets.values():
        plugin.task(config.task).check_set(each)


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
        refuse_changed(done, records.metadata(done)["config"], job.config.as_json(), remove=done.parent)
    if all(file.is_file() for file in job.kept):
        return records.read([done])[records.SCHEMA.names].to_dict("records")
    rows = _run(job)
    if job.processes.is_main_process:
        records.write(done, rows, config=job.config.as_json())
        shutil.rmtree(job.state, ignore_errors=True)
    return rows


def _run(job: Job) -> list[dict[str, Any]]:
    """Train and score one seed; where the task leaves its encoder, the main process writes it."""
    seed_libraries(job.seed, 0, 0)  # the same fresh head on every rank
    inputs = job.inputs()
    task = plugin.task(job.config.task)(inputs)
    module = task.module()
    history = job.fit(module, task) if module is not None else []
    step, trained_on = history[-1]["step"] if history else 0, job.origin("train")
    rows = [records.record(trained_on, entry["step"], "train_loss", entry["loss"]) for entry in history]
    for split in [split for split in job.sets if split != "train"]:
        scores, origin = task.score(module, split), job.origin(split)
        rows += [records.record(origin, step, metric, value, part) for metric, part, value in scores]
    if job.config.settings.leaves_encoders and job.processes.is_main_process:
        save_encoder(job.kept[-1], inputs.encoder, inputs.header | asdict(trained_on) | {"step": step})
    return rows
