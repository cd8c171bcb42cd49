"""Brings the results of version 0.1 up to date: other column names, and hashes of the typed configs. No value changes.

The config that records were made with stands in their file. It is rewritten as today's config, whose hash takes the
place of the old one everywhere.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from simmim.config.evaluate_models import EvaluateConfig, SizeConfig
from simmim.config.models import JobConfig, PretrainConfig, TokenizerConfig
from simmim.migration._columns import columns_of, config_of, rename_columns
from simmim.storage import records
from simmim.storage.parquet import read_parquet

Values = dict[str, Any]
_METRICS = {
    "heldout_top1": "selection_top1",
    "heldout_loss": "validation_loss",
    "heldout_loss_mean_colour": "validation_loss_mean_colour",
    "process_seconds": "device_seconds",
}
_RUNS = {
    "rival_dino": "dino_vit_b",
    "rival_moco_v3": "moco_v3_vit_b",
    "rival_beit": "beit_vit_b",
    "rival_vit_mpp": "mpp_vit_b",
}
_PROBE = {"neighbours", "temperature"}  # settings of k-NN that every probe had, too


def rewrite(results: Path) -> list[str]:
    """Rewrite all records of version 0.1 below the folder of a scale.

    Returns:
        One line for every file that was rewritten.

    Raises:
        ValueError: for records whose pre-training is not there, so that their hash cannot be known.
    """
    hashes: dict[str, str] = {}
    _rename_runs(results)
    files = _old_records(sorted(results.glob("pretrain/*/*/train.parquet")))
    for path in files:
        _rewrite(path, _pretraining(_config(path), hashes), hashes)
    evaluations = _old_records(sorted(results.glob("evaluate/*/*.parquet")))
    for path in sorted(evaluations, key=lambda path: _config(path).get("start") is not None):  # fine-tunings first
        _rewrite(path, _evaluation(_config(path), hashes), hashes)
    sizes = _old_records(sorted(results.glob("size/*.parquet")))
    for path in sizes:
        _rewrite(path, _size(_config(path), hashes), hashes)
    masks = _old_records([path for path in [results / "avg_dist.parquet"] if path.is_file()])
    for path in masks:
        _rewrite(path, None, hashes)
    pictures = [*results.glob("pretrain/*/*/reconstruction.parquet"), *results.glob("mask_samples.parquet")]
    renamed = [path for path in sorted(pictures) if rename_columns(path, None, hashes)]
    return [f"{path}: brought up to date" for path in (*files, *evaluations, *sizes, *masks, *renamed)]


def _rename_runs(results: Path) -> None:
    for old, new in _RUNS.items():
        for path in [*results.glob(f"*/{old}"), *results.glob(f"*/{old}.parquet")]:
            path.rename(path.with_name(path.name.replace(old, new)))


def _old_records(paths: Iterable[Path]) -> list[Path]:
    return [path for path in paths if "task" in columns_of(path)]


def _config(path: Path) -> Values:
    config = config_of(path)
    for section in (config, config.get("pretraining"), config.get("finetune")):
        if isinstance(section, dict):
            section["run"] = _RUNS.get(section["run"], section["run"])
    return config


def _pretraining(old: Values, hashes: dict[str, str]) -> PretrainConfig:
    new = {key: value for key, value in old.items() if key not in ("config_hash", "start")}
    new |= {"init": old["start"], "data": _data(old["data"])}
    if "tokenizer" in old:
        kept = {key: value for key, value in old["tokenizer"].items() if key != "config_hash"}
        new["tokenizer"] = TokenizerConfig.model_validate(kept | {"data": _data(kept["data"])})
    return _known(PretrainConfig.model_validate(new), old, hashes)


def _evaluation(old: Values, hashes: dict[str, str]) -> EvaluateConfig:
    new = {key: value for key, value in old.items() if key not in ("config_hash", "start")}
    new |= {"pretraining": _new_hash(old["pretraining"], hashes), "data": _data(old["data"]), "init": None}
    if "start" in old:
        new["init"] = old["start"] | {"config_hash": _new_hash(old["start"]["config_hash"], hashes)}
    if old["task"] == "probe":
        settings = {key: value for key, value in old["settings"].items() if key not in _PROBE}
        new |= {"task": "linear_probe", "settings": settings}
    return _known(EvaluateConfig.model_validate(new), old, hashes)


def _size(old: Values, hashes: dict[str, str]) -> SizeConfig:
    pretraining = _pretraining(old["pretraining"], hashes)
    finetune = _evaluation(old["finetune"], hashes) if old["finetune"] else None
    where = {key: old[key] for key in ("scale", "run", "classes")}
    return _known(SizeConfig(**where, pretraining=pretraining, finetune=finetune), old, hashes)


def _data(old: Mapping[str, Values]) -> Values:
    """Defaults of packing were written nowhere, and a set that is not made by the package had an empty `made_from`."""
    sets = {"extra" if split == "further" else split: each for split, each in old.items()}
    return {split: each | {"made_from": each["made_from"] or None} for split, each in sets.items()}


def _known(config: Any, old: Values, hashes: dict[str, str]) -> Any:
    hashes[old["config_hash"]] = config.hash
    return config


def _new_hash(old: str, hashes: Mapping[str, str]) -> str:
    if old not in hashes:
        raise ValueError(f"the records of config {old}, on which others stand, are missing: they cannot be migrated")
    return hashes[old]


def _rewrite(path: Path, config: JobConfig | None, hashes: Mapping[str, str]) -> None:
    table = read_parquet(path)
    header = {key.decode(): value for key, value in (table.schema.metadata or {}).items()}
    kept = {key: json.loads(value) for key, value in header.items() if key not in ("config", "held_out_digest")}
    rows = table.to_pylist()
    if "held_out_digest" in header:
        kept["data_digests"] = {"train": rows[0]["data_digest"], "val": json.loads(header["held_out_digest"])}
    data = config.data if isinstance(config, PretrainConfig | EvaluateConfig) else {}
    rows = [_record(row, data, kept.get("data_digests", {}), hashes) for row in rows]
    records.write(path, rows, **kept | ({"config": config.as_json()} if config else {}))


def _record(old: Values, data: Mapping[str, Any], digests: Mapping[str, str], hashes: Mapping[str, str]) -> Values:
    new = {key: old[key] for key in ("scale", "seed", "step", "value", "data_digest", "code_version")}
    is_logged = old["metric"] == "train_loss" or old["task"] == "pretrain"
    split = "train" if is_logged and not old["metric"].startswith("heldout_loss") else "val"
    new["data_digest"] = digests.get(split, old["data_digest"])
    measured_on, extra = data.get(split), data["extra"].dataset if "extra" in data else None
    return new | {
        "run": _RUNS.get(old["run"], old["run"]),
        "evaluation": old["task"],
        "dataset": extra if extra == old["detail"] else measured_on.dataset if measured_on else "",
        "part": "" if extra == old["detail"] else old["detail"],
        "metric": _METRICS.get(old["metric"], old["metric"]),
        "config_hash": _new_hash(old["config_hash"], hashes),
        "encoder_digest": "",
    }
