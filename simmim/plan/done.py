"""Which results are there, made with the config that their row has today (torch-free)."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from safetensors import safe_open

from simmim.config.resolve import Config
from simmim.config.sheets import Sheets
from simmim.evaluate import feature_sets
from simmim.report.scale_facts import ResultFile
from simmim.storage import paths, records

_LOG, _ENCODER, _HEAD, _PICTURES = "train.parquet", "encoder.safetensors", "head.safetensors", "reconstruction.parquet"


@dataclass(frozen=True)
class Done:
    """What is done of a scale.

    Args:
        results: folder of the scale.
    """

    sheets: Sheets
    scale: str
    results: str

    def pretraining(self, run: str) -> Config:
        """Config of a run."""
        return self.sheets.pretraining(self.scale, run)

    def evaluation(self, need: ResultFile) -> Config:
        """Config of an evaluation."""
        return self.sheets.evaluation(self.scale, need.run, need.evaluation)

    def start(self, need: ResultFile) -> ResultFile | None:
        """The fine-tuning that an evaluation starts from, None where that is the pre-training."""
        start = self.evaluation(need).get("start") if need.kind == "evaluate" else None
        return need._replace(evaluation=start["evaluation"]) if start else None

    def tokenizer(self, name: str) -> Config:
        """Config of a tokenizer."""
        return self.sheets.tokenizer(self.scale, name)

    def seeds_missing(self, run: str, asked: Iterable[ResultFile], to_do: Collection[ResultFile]) -> list[int]:
        """Seeds of a run to train, given what is asked of it: a lost file that nobody reads is not made again.

        Args:
            to_do: the evaluations that are not done.
        """
        wanted = {file for need in asked for file in self._files_read(need, to_do)}
        return (
            [seed for seed in range(self.pretraining(run)["seeds"]) if not self._has(run, seed, wanted)]
            if wanted
            else []
        )

    def is_trained(self, run: str, seed: int) -> bool:
        """Whether a training has left its log."""
        return self._has(run, seed, {_LOG})

    def is_evaluated(self, need: ResultFile) -> bool:
        """Whether an evaluation has left its records."""
        return _made_with(Path(paths.evaluated(self.results, need.run, need.evaluation)), self.evaluation(need))

    def has_fine_tuned(self, need: ResultFile) -> bool:
        """Whether a fine-tuning has left its encoders; its records may have been lost."""
        records_file = Path(paths.evaluated(self.results, need.run, need.evaluation))
        is_there = Path(paths.fine_tuned(self.results, need.run, need.evaluation)).is_dir()
        return is_there and (not records_file.is_file() or self.is_evaluated(need))

    def has_features(self, run: str, seed: int, name: str, config: Config) -> bool:
        """Whether the frozen features of this name are there."""
        return feature_sets.is_complete(Path(paths.features(self.results, run, seed, name)), config)

    def has_first_stage(self, run: str, seed: int) -> bool:
        """Whether the checkpoint at a run's first milestone is there."""
        manifest = Path(paths.first_stage(self.results, run, seed))
        if not manifest.is_file():
            return False
        found = json.loads(manifest.read_text(encoding="utf-8"))["config"]
        return found["config_hash"] == self.pretraining(run)["config_hash"]

    def has_tokenizer(self, name: str) -> bool:
        """Whether a tokenizer is there."""
        path = Path(paths.tokenizer(self.results, name))
        if not path.is_file():
            return False
        with safe_open(path, framework="np") as file:
            found = json.loads((file.metadata() or {}).get("simmim", "{}"))
        return found.get("tokenizer", {}).get("config_hash") == self.tokenizer(name)["config_hash"]

    def _files_read(self, need: ResultFile, to_do: Collection[ResultFile]) -> list[str]:
        """Files of a training that what is still to be made of it reads, or that are asked for themselves."""
        if need.kind == "evaluate":
            return [_ENCODER] if need in to_do and not self.start(need) else []
        if need.kind == "pretrain":
            return [_LOG]
        seeds = range(self.pretraining(need.run)["seeds"])
        pictures = [Path(paths.pretrained(self.results, need.run, seed, _PICTURES)) for seed in seeds]
        return [] if all(path.is_file() for path in pictures) else [_ENCODER, _HEAD]

    def _has(self, run: str, seed: int, files: set[str]) -> bool:
        log = Path(paths.pretrained(self.results, run, seed, _LOG))
        there = all(Path(paths.pretrained(self.results, run, seed, file)).is_file() for file in files)
        return there and (not log.is_file() or _made_with(log, self.pretraining(run)))


def _made_with(file: Path, config: Config) -> bool:
    """Whether a file of records is there and was made with this config."""
    return file.is_file() and records.metadata(file)["config"]["config_hash"] == config["config_hash"]
