"""Runs one evaluation of one pre-trained run over all its seeds and writes their records as one Parquet file."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from simmim import plugin
from simmim.config.differences import refuse_changed
from simmim.config.evaluate_models import EvaluateConfig
from simmim.config.evaluation import features_config
from simmim.config.sections import sides
from simmim.data.shards import Shards
from simmim.evaluate.sets import check_sets
from simmim.evaluate.stored_features import open_features
from simmim.evaluate.task import Inputs, Task
from simmim.storage import finished, model_file, records
from simmim.storage.encoder_file import load_encoder, save_encoder
from simmim.storage.files import whole_folder
from simmim.storage.identity import Identity, code_version
from simmim.storage.reading import refuse_folder
from simmim.train import speed, spikes
from simmim.train.loop import Run, Trained, fit
from simmim.train.processes import Processes, autocast_dtype, environment, peak_bytes, seed_libraries, told_by_main
from simmim.train.progress import busy
from simmim.train.task import TrainTask

Kept = tuple[list[dict[str, Any]], list[dict[str, Any]]]  # records of a seed, and the parts of its training


@dataclass(frozen=True)
class Job:
    """One evaluation with one seed.

    Args:
        encoder_file: the pre-trained or fine-tuned encoder it starts from.
        sets: packed sets by split: 'train', which is learnt from, and those that are scored.
        state: folder for its checkpoints; what it leaves is kept beside it until all seeds are done.
        features: folder of the encoder's frozen features, for a task that reads them.
    """

    config: EvaluateConfig
    encoder_file: Path
    sets: Mapping[str, Shards]
    seed: int
    state: Path
    processes: Processes
    features: Path | None = None

    @property
    def label(self) -> str:
        """Name on the status line."""
        return f"{self.config.scale}/{self.config.run}/{self.config.evaluation} seed {self.seed}"

    @property
    def kept(self) -> list[Path]:
        """What a finished seed leaves: its records and, of a task that leaves encoders, its encoder."""
        suffixes = (".parquet", ".safetensors") if self.config.settings.leaves_encoders else (".parquet",)
        return [self.state.with_suffix(suffix) for suffix in suffixes]

    @property
    def identity(self) -> Identity:
        """What its checkpoints and records belong to."""
        return identity_of(self.config, {split: each.digest for split, each in self.sets.items()}, [self.encoder_file])

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
            wanted = features_config(config)
            return Inputs(**given, features=open_features(self.features, wanted, self.encoder_file, self.sets))
        encoder, header = load_encoder(self.encoder_file, sides(config.settings.image_px), **config.encoder)
        return Inputs(**given, encoder=encoder, header=header)

    def fit(self, module: TrainTask, task: Task) -> Trained:
        """Train the module of a task."""
        run = Run(replace(self.identity, seed=self.seed), self.state, self.label)
        return fit(module, task.dataset(), task.groups(module), self.config.train, run, self.processes)


def identity_of(config: EvaluateConfig, data: Mapping[str, str], encoders: Sequence[Path]) -> Identity:
    """What an evaluation belongs to.

    Args:
        data: digests of packed sets by split.
    """
    return Identity(config.as_json(), None, data, {"encoder": " ".join(map(model_file.digest, encoders))})


def state_of(out: Path) -> Path:
    """Folder of what an evaluation has done so far."""
    return out.parent / f"{out.stem}.state"


def evaluate(
    config: EvaluateConfig,
    encoders: Sequence[Path],
    data: Mapping[str, Path],
    out: Path,
    processes: Processes,
    features: Sequence[Path] = (),
) -> None:
    """Evaluate a run with every seed of the config and write the records to `out`.

    A task that leaves encoders leaves them as `seed0.safetensors` and so on in `{name of out}.encoders`. A seed that is
    done is kept beside the checkpoints, so an interrupted evaluation goes on with the next one.

    Args:
        encoders: those it starts from, by the seed they were trained with; seed s takes number s modulo their count.
        data: packed data sets by split, 'train', 'val' and where the config has one 'extra', which is scored too.
        features: for a task that reads them, the folder of frozen features of each of `encoders`.

    Raises:
        ValueError: for data or settings that do not fit, or unfinished work of another config.
    """
    sets = {split: Shards(folder) for split, folder in data.items()}
    check_sets(config, sets, processes)
    for number, file in enumerate(encoders):
        _check_encoder(config, number, file)
    state = state_of(out)
    jobs = []
    for seed in range(config.seeds):
        start = seed % len(encoders)
        read = features[start] if features else None
        jobs.append(Job(config, encoders[start], sets, seed, state / f"seed{seed}", processes, read))
    kept = [_records_of(job) for job in jobs]
    if processes.is_main_process:
        if config.settings.leaves_encoders:
            _hand_on([job.kept[-1] for job in jobs], out.with_suffix(".encoders"))
        left = {file.stem: model_file.digest(file) for job in jobs for file in job.kept[1:]}
        machine = environment(processes, autocast_dtype(config.precision, processes.device), config.train)
        identity = identity_of(config, {split: each.digest for split, each in sets.items()}, encoders)
        parts = [parts for _, parts in kept]
        about = identity.as_json() | {"parts": parts, "left": left, "environment": machine}
        about |= {"peak_bytes": peak_bytes(processes.device, itertools.chain(*parts))}
        records.write(out, [row for rows, _ in kept for row in rows], **about)
        finished.keep(state, [file for job in jobs for file in job.kept], identity)


def _check_encoder(config: EvaluateConfig, seed: int, file: Path) -> None:
    """Refuse the encoder of another run, seed or config; files of other makers do not say."""
    made_by = config.init.config_hash if config.init else config.pretraining
    wanted = {"scale": config.scale, "run": config.run, "seed": seed, "config_hash": made_by}
    stated = model_file.header(file)
    wrong = [f"{key} {stated[key]}, not {value}" for key, value in wanted.items() if stated.get(key, value) != value]
    if wrong:
        raise ValueError(
            f"{file} is not the encoder that {config.run}/{config.evaluation} starts from: {', '.join(wrong)}"
        )


def _hand_on(encoders: Sequence[Path], folder: Path) -> None:
    """Give encoders a second name in their folder, whole or not at all; the first stays until the records are there."""
    with whole_folder(folder) as draft:
        for encoder in encoders:
            finished.link(encoder, draft / encoder.name)


def _cost(job: Job, trained: Trained) -> dict[str, float]:
    """What the training took, and how often its loss leapt."""
    settings, processes = job.config.train, job.processes
    images, dtype = trained.step * settings.batch, autocast_dtype(settings.precision, processes.device)
    taken = speed.cost(trained.history, images, trained.parts[-1], processes, dtype)
    return taken | {"loss_spikes": spikes.count(trained.history)}


def _records_of(job: Job) -> Kept:
    """What one seed leaves, from what an earlier try kept if it finished the seed."""
    if kept := told_by_main(lambda: _kept_before(job), job.processes):
        return kept
    rows, parts = _run(job)
    if job.processes.is_main_process:
        left = {file.stem: model_file.digest(file) for file in job.kept[1:]}
        about = replace(job.identity, seed=job.seed).as_json() | {"parts": parts, "left": left}
        records.write(job.kept[0], rows, **about)
        shutil.rmtree(job.state, ignore_errors=True)
    return rows, parts


def _kept_before(job: Job) -> Kept | None:
    """What an earlier try kept of the seed, if it finished it."""
    done = job.kept[0]
    for file in job.kept:
        refuse_folder(file)
    about = records.metadata(done) if done.is_file() else {}
    if about and "made_from" not in about:
        raise ValueError(f"{done} was kept by an earlier version; remove {done.parent} to start anew")
    if about:
        refuse_changed(done, about, replace(job.identity, seed=job.seed), remove=done.parent)
    if all(file.is_file() for file in job.kept):
        _check_left(job, about["left"])
        return records.read([done])[records.SCHEMA.names].to_dict("records"), about["parts"]
    return None


def _check_left(job: Job, left: Mapping[str, str]) -> None:
    """Refuse an encoder that is not the one whose scores were kept."""
    for file in job.kept[1:]:
        if model_file.verified_digest(file, "encoder") != left[file.stem]:
            raise ValueError(f"{file} does not belong to {job.kept[0]}; remove {file.parent} to start anew")


def _run(job: Job) -> Kept:
    """Train and score one seed; where the task leaves its encoder, the main process writes it."""
    seed_libraries(job.seed, 0, 0)  # the same fresh head on every rank
    inputs = job.inputs()
    task = plugin.task(job.config.task)(inputs)
    module = task.module()
    trained, trained_on = job.fit(module, task) if module is not None else Trained(), job.origin("train")
    step = trained.step
    rows = [records.record(trained_on, entry["step"], "train_loss", entry["loss"]) for entry in trained.history]
    if trained.history:
        rows += [records.record(trained_on, step, metric, value) for metric, value in _cost(job, trained).items()]
    for split in [split for split in job.sets if split != "train"]:
        with busy(f"{job.label}: scoring {split}"):
            scores, origin = task.score(module, split), job.origin(split)
        rows += [records.record(origin, step, metric, value, part) for metric, part, value in scores]
    if job.config.settings.leaves_encoders and job.processes.is_main_process:
        save_encoder(job.kept[-1], inputs.encoder, inputs.header | asdict(trained_on) | {"step": step})
    return rows, trained.parts
