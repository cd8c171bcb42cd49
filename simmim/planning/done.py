"""What is there of a job's outputs, and whether it was made with today's config from today's data (torch-free)."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import safe_open

from simmim.data.index import read_index
from simmim.jobs import Job, Jobs
from simmim.storage import records
from simmim.storage.paths import pattern
from simmim.storage.reading import reading

_MANIFEST = "manifest.json"  # completes a folder of features; `stored_features.MANIFEST` would import torch


def is_there(job: Job, role: str) -> bool:
    """Whether an output of a job exists, whatever it was made with."""
    return (job.output(role) / _MANIFEST if job.kind == "features" else job.output(role)).exists()


def is_finished(job: Job) -> bool:
    """Whether a training has left the file that it writes last."""
    return is_there(job, _STORED[job.kind][0])


def is_outdated(job: Job) -> bool:
    """Whether its outputs exist and were made with another config or from other data; False for kinds that say neither.

    Data that are not packed here cannot be compared.
    """
    if job.kind not in _STORED or not is_finished(job):
        return False
    last, stated_by = _STORED[job.kind]
    stated, today = stated_by(job.output(last)), job.config.as_json()
    stored = stated["config"]
    if {key: stored.get(key) for key in today} != today:  # a first stage adds the digest of its tokenizer
        return True
    packed = {split: _digest_of(Path(file)) for split, file in zip(job.config.data, job.inputs["data"])}
    digests = stated.get("data_digests", {})
    return any(digests.get(split, now) != now for split, now in packed.items() if now)


def _digest_of(index: Path) -> str:
    """Of the images and labels of a packed set; "" where there is none, or none that can be read, which jobs refuse."""
    try:
        return _digest_in(index.parent, index.stat().st_mtime_ns)
    except (OSError, ValueError):
        return ""


@functools.lru_cache
def _digest_in(packed: Path, written_ns: int) -> str:
    return read_index(packed)["digest"]


def outdated(jobs: Jobs, scale: str) -> list[Path]:
    """Outputs of a scale that were made with another config, or from other data, than they would be today."""
    lasts = [pattern(jobs.results, kind, last) for kind, (last, _) in _STORED.items()]
    globs = sorted({re.sub(r"{\w+}", "*", last).replace(f"{jobs.results}/*/", "") for last in lasts})
    files = [file for each in globs for file in sorted(Path(jobs.results, scale).glob(each))]
    makers = [maker for file in files if (maker := _maker_of(file, jobs)) and is_outdated(maker)]
    return [job.output(role) for job in makers for role in job.outputs if is_there(job, role)]


def _maker_of(file: Path, jobs: Jobs) -> Job | None:
    """The job that makes a file; None where no row of today does."""
    try:
        return jobs.maker(str(file))
    except ValueError:
        return None


def _of_manifest(file: Path) -> Mapping[str, Any]:
    with reading(file, "a manifest", f"remove {file.parent}"):
        return json.loads(file.read_text(encoding="utf-8"))


def _of_features(folder: Path) -> Mapping[str, Any]:
    return _of_manifest(folder / _MANIFEST)


def _of_tokenizer(file: Path) -> Mapping[str, Any]:
    with reading(file, "a tokenizer", "remove it"), safe_open(file, framework="np") as opened:
        stated = json.loads((opened.metadata() or {}).get("simmim", "{}"))
    # Older files have an entry for the header alone.
    return {"config": stated.get("header", stated).get("tokenizer", {})}


# By kind of job, the output that it writes last, and how that says what it was made of.
_STORED = {
    "tokenizer": ("tokenizer", _of_tokenizer),
    "first_stage": ("manifest", _of_manifest),
    "pretrain": ("records", records.metadata),
    "features": ("folder", _of_features),
    "finetune": ("records", records.metadata),
    "evaluate": ("records", records.metadata),
}
