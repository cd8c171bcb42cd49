"""Sheets that a test may change, and results that look finished."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from simmim.config.sheets import Sheets
from simmim.evaluate import feature_sets
from simmim.storage import paths, records

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


def finish_training(results: Path, config: dict, seed: int = 0) -> None:
    """The files that a finished pre-training leaves."""
    folder = str(results / config["scale"])
    encoder = Path(paths.pretrained(folder, config["run"], seed, "encoder.safetensors"))
    encoder.parent.mkdir(parents=True, exist_ok=True)
    encoder.touch()
    records.write(encoder.with_name("train.parquet"), [], config=config)


def finish_first_stage(results: Path, config: dict, seed: int = 0) -> None:
    """The manifest of a finished first stage."""
    manifest = Path(paths.first_stage(str(results / config["scale"]), config["run"], seed))
    manifest.parent.mkdir(parents=True, exist_ok=True)
    manifest.write_text(json.dumps({"config": config}))


def finish_evaluation(results: Path, config: dict) -> None:
    """The records of a finished evaluation."""
    file = paths.evaluated(str(results / config["scale"]), config["run"], config["evaluation"])
    records.write(file, [], config=config)


def leave_encoders(results: Path, config: dict) -> None:
    """The folder of encoders of a finished fine-tuning."""
    folder = paths.fine_tuned(str(results / config["scale"]), config["run"], config["evaluation"])
    Path(folder).mkdir(parents=True)


def finish_features(results: Path, config: dict, split: str) -> None:
    """The manifest of the features that an evaluation reads of a split."""
    features = feature_sets.feature_config(config, split)
    name = feature_sets.name_of(features)
    folder = Path(paths.features(str(results / config["scale"]), config["run"], 0, name))
    folder.mkdir(parents=True)
    (folder / feature_sets.MANIFEST).write_text(json.dumps({"config": features}))
