"""Which frozen features an evaluation reads, each set named by exactly what determines it (torch-free)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from simmim.config.resolve import Config
from simmim.storage.records import config_hash

FROZEN = "probe", "knn"
MANIFEST = "manifest.json"
SPLITS = "train", "val"
_SETTINGS = "image_px", "score_crop", "score_batch"


def feature_config(evaluation: Config, split: str) -> Config:
    """What determines the features that an evaluation reads of a split, beside the seed of the encoder.

    Every evaluation has its own: features go when they are read, so a new evaluation would have shared ones made again,
    and Snakemake would repeat all that had read them before. The batch belongs to it: it can change the last bits.
    """
    start = {"start": evaluation["start"]} if "start" in evaluation else {}
    return start | {
        "evaluation": evaluation["evaluation"],
        "data": evaluation["data"][split],
        "pretraining": evaluation["pretraining"],
        "encoder": evaluation["encoder"],
        "settings": {name: evaluation["settings"][name] for name in _SETTINGS},
        "precision": precision_of(evaluation),
        "numerics": evaluation["numerics"],
    }


def precision_of(evaluation: Config) -> str:
    """Number format of a frozen encoder: that of the probe's training, and the same for k-NN, which trains nothing."""
    return (evaluation["train"] or {"precision": "fp32"})["precision"]


def name_of(features: Config) -> str:
    """Name of a set of features in paths, such as train_192px_0123456789ab."""
    return f"{features['data']['split']}_{features['settings']['image_px']}px_{config_hash(features)}"


def names_by_split(evaluation: Config) -> dict[str, str]:
    """Split to the name of the features that an evaluation reads of it; {} for a task that reads none."""
    frozen = evaluation["task"] in FROZEN
    return {split: name_of(feature_config(evaluation, split)) for split in SPLITS} if frozen else {}


def seeds_of(evaluation: Config, pretraining: Config) -> range:
    """Seeds whose encoders' features an evaluation reads: its seed s starts from number s modulo their count."""
    return range(min(evaluation["seeds"], evaluation.get("start", pretraining)["seeds"]))


def is_complete(folder: Path, config: Mapping[str, Any]) -> bool:
    """Whether finished features of this config lie in a folder."""
    manifest = folder / MANIFEST
    return manifest.is_file() and json.loads(manifest.read_text(encoding="utf-8"))["config"] == config
