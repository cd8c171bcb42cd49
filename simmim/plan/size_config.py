"""Which networks of a run are counted (torch-free: the Snakefile asks)."""

from __future__ import annotations

from simmim.config.resolve import Config, DoesNotFit
from simmim.config.sheets import Sheets
from simmim.plan.data import published_classes
from simmim.storage.records import config_hash


def size_config(sheets: Sheets, scale: str, run: str) -> Config:
    """Config of a run, of its fine-tuning if it has one, the classes of that, and the hash of all; raises as the rows.

    Of several fine-tunings it is the one called 'finetune', else the first. Where datasets.tsv does not say how many
    classes there are, the classifier counts with one. Data that nobody can get are not needed for this.
    """
    sheets = sheets.without_data
    config = {"scale": scale, "run": run, "pretraining": sheets.pretraining(scale, run)}
    config |= {"finetune": _finetuning(sheets, scale, run), "classes": 0}
    if config["finetune"]:
        config["classes"] = published_classes(sheets, config["finetune"]["data"]["train"]["dataset"]) or 1
    return config | {"config_hash": config_hash(config)}


def _finetuning(sheets: Sheets, scale: str, run: str) -> Config | None:
    names = [evaluation for name, evaluation in sheets.evaluations(scale) if name == run]
    for name in sorted(names, key=lambda name: name != "finetune"):
        try:
            config = sheets.evaluation(scale, run, name)
        except DoesNotFit:
            continue
        if config["task"] == "finetune":
            return config
    return None
