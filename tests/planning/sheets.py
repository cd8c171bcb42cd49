"""Sheets that a test may change, and results that look finished."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from simmim.config.sheets import Sheets
from simmim.jobs import Job, Jobs
from simmim.storage import records

CONFIG = Path(__file__).parents[2] / "config"


def copied(folder: Path, *rows: str) -> Sheets:
    """A copy of the project's sheets with further rows; one that starts with 'evaluate ' goes to that sheet."""
    shutil.copytree(CONFIG, folder)
    steps = (folder / "recipes" / "swin_b_100ep.yaml").read_text()
    steps = steps.replace("schedule: cosine", "schedule: step\n  milestones: [0.9, 0.95]")
    (folder / "recipes" / "with_steps.yaml").write_text(steps)
    for row in rows:
        sheet = "evaluate" if row.startswith("evaluate ") else "pretrain"
        with (folder / f"{sheet}.tsv").open("a", encoding="utf-8") as file:
            file.write(row.removeprefix("evaluate ").replace(" | ", "\t") + "\n")
    return Sheets(folder)


def trainings(jobs: Jobs, scale: str, run: str) -> list[str]:
    """The logs of all pre-trainings of a run."""
    seeds = range(jobs.sheets.pretraining(scale, run).seeds)
    return [jobs.path("pretrain", "records", scale=scale, run=run, seed=seed) for seed in seeds]


def evaluations(jobs: Jobs, scale: str, run: str, *names: str) -> list[str]:
    """The records of evaluations of a run."""
    return [jobs.path("evaluate", "records", scale=scale, run=run, evaluation=name) for name in names]


def finish_data(jobs: Jobs, scale: str) -> Jobs:
    """The demo's data, made and packed."""
    made = [jobs.job("demo_data", scale=scale).output("card")]
    for (dataset, split), row in jobs.sheets.datasets.items():
        if row.made_by:
            made.append(jobs.job("pack", scale=scale, dataset=dataset, split=split).output("index"))
    for file in made:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"samples": 64, "classes": ["one", "two"]}))
    return jobs


def finish_training(jobs: Jobs, scale: str, run: str, seed: int = 0, **changed: object) -> None:
    """The files that a finished pre-training leaves, made with a config of which some values were others."""
    job = jobs.job("pretrain", scale=scale, run=run, seed=seed)
    job.output("encoder").parent.mkdir(parents=True, exist_ok=True)
    job.output("encoder").touch()
    records.write(job.output("records"), [], config=_config(job, changed))


def finish_first_stage(jobs: Jobs, scale: str, run: str, seed: int = 0, **changed: object) -> None:
    """The manifest of a finished first stage."""
    job = jobs.job("first_stage", scale=scale, run=run, seed=seed)
    job.output("manifest").parent.mkdir(parents=True, exist_ok=True)
    job.output("manifest").write_text(json.dumps({"config": _config(job, changed)}))


def finish_tokenizer(jobs: Jobs, scale: str, name: str, **changed: object) -> None:
    """The file of a finished tokenizer."""
    job = jobs.job("tokenizer", scale=scale, tokenizer=name)
    job.output("tokenizer").parent.mkdir(parents=True, exist_ok=True)
    header = {"simmim": json.dumps({"header": {"tokenizer": _config(job, changed)}, "sha256": ""})}
    save_file({"codes": np.zeros(1, np.float32)}, job.output("tokenizer"), header)


def finish_evaluation(jobs: Jobs, scale: str, run: str, evaluation: str, **changed: object) -> None:
    """The records of a finished evaluation."""
    job = jobs.job("evaluate", scale=scale, run=run, evaluation=evaluation)
    records.write(job.output("records"), [], config=_config(job, changed))


def leave_encoders(jobs: Jobs, scale: str, run: str, evaluation: str) -> None:
    """The folder of encoders of a finished fine-tuning."""
    jobs.job("finetune", scale=scale, run=run, evaluation=evaluation).output("encoders").mkdir(parents=True)


def finish_features(jobs: Jobs, scale: str, run: str, evaluation: str, **changed: object) -> None:
    """The manifest of the features that an evaluation reads."""
    name = jobs.sheets.read_features(scale, run, evaluation).name
    job = jobs.job("features", scale=scale, run=run, seed=0, features=name)
    job.output("folder").mkdir(parents=True, exist_ok=True)
    (job.output("folder") / "manifest.json").write_text(json.dumps({"config": _config(job, changed)}))


def _config(job: Job, changed: dict[str, object]) -> dict:
    return job.config.as_json() | changed
