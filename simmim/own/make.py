"""Makes a file of a project as the workflow would: first what its job reads, then the job itself, in this process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from simmim.cli import training
from simmim.jobs import Job, Jobs
from simmim.storage.reading import existing

_VERBS: dict[str, Callable[..., None]] = {
    "pack": training.pack,
    "tokenizer": training.tokenizer,
    "first_stage": training.first_stage,
    "pretrain": training.pretrain,
    "reconstruct": training.reconstruct,
    "features": training.features,
    "finetune": training.evaluate,
    "evaluate": training.evaluate,
}


def make(jobs: Jobs, file: str, **options: Any) -> None:
    """Make a file and what it needs; what is there stays.

    Args:
        options: of the verb `pretrain`, for all pre-trainings on the way.

    Raises:
        ValueError: for what no job makes and is not there.
    """
    job = jobs.maker(file)
    if job is None:
        existing(file, "the file")
        return
    if all(Path(each).exists() for each in job.outputs.values()):
        return
    for each in job.input_files():
        make(jobs, each, **options)
    _VERBS[job.kind](jobs, **_arguments(job), **options if job.kind == "pretrain" else {})


def _arguments(job: Job) -> dict[str, Any]:
    words: dict[str, Any] = dict(job.wildcards)
    if "features" in words:
        words["name"] = words.pop("features")
    return words | {"seed": int(words["seed"])} if "seed" in words else words
