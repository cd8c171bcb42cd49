"""The jobs of a target in the workflow's order, and which of them are done (torch-free)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from simmim import paths, records
from simmim.config import Config, Sheets, has_first_stage
from simmim.report.names import Need

FIRST_STAGE, PRETRAIN, EVALUATE = "first_stage", "pretrain", "evaluate"


@dataclass(frozen=True)
class Job:
    """All seeds of a rule of the workflow for one row; a run with the step schedule has a first stage beside it.

    Args:
        kind: 'first_stage', 'pretrain' or 'evaluate'.
        config: completed config of the run or the evaluation.
        seeds: trainings in all.
        seeds_to_do: those that are not finished; none are left of a finished job.
    """

    kind: str
    run: str
    evaluation: str
    config: Config
    seeds: int
    seeds_to_do: int

    @property
    def name(self) -> str:
        """As paths have it: 'run' or 'run/evaluation'."""
        return f"{self.run}/{self.evaluation}" if self.evaluation else self.run


def jobs_of(needs: list[Need], sheets: Sheets, scale: str, results: Path) -> list[Job]:
    """Runs in the order of the sheet, each with its evaluations, as `snakemake` would run or has run them.

    Args:
        needs: result files that are asked for.
        results: folder of all scales.
    """
    done = _Done(sheets, scale, str(results / scale))
    runs = sheets.runs(scale)
    asked = {run: [need for need in needs if need.run == run] for run in runs}
    to_do = {run: done.trainings_to_do(run, asked[run]) for run in runs if asked[run]}
    stages = done.stages_to_do(to_do)
    return [job for run in runs for job in _jobs_of_run(run, asked[run], to_do.get(run, []), stages, done)]


def _jobs_of_run(
    run: str, asked: list[Need], to_do: list[int], stages: dict[str, list[int]], done: _Done
) -> Iterator[Job]:
    if not asked and run not in stages:
        return
    config = done.pretraining(run)
    seeds = config["seeds"]
    if run in stages or (has_first_stage(config) and not done.stages_missing(run)):
        yield Job(FIRST_STAGE, run, "", config, seeds, len(stages.get(run, [])))
    if asked and (to_do or not done.missing(run)):
        yield Job(PRETRAIN, run, "", config, seeds, len(to_do))
    for need in asked:
        if need.kind == EVALUATE:
            own = done.sheets.evaluation(done.scale, run, need.evaluation)
            is_done = not to_do and done.is_evaluated(need)  # Snakemake repeats what comes after a new training
            yield Job(EVALUATE, run, need.evaluation, own, own["seeds"], 0 if is_done else own["seeds"])


@dataclass(frozen=True)
class _Done:
    """Which results are there, made with today's config."""

    sheets: Sheets
    scale: str
    results: str

    def pretraining(self, run: str) -> Config:
        return self.sheets.pretraining(self.scale, run)

    def missing(self, run: str) -> list[int]:
        """Seeds of a run without a finished training."""
        return [seed for seed in range(self.pretraining(run)["seeds"]) if not self._is_trained(run, seed)]

    def stages_missing(self, run: str) -> list[int]:
        """Seeds of a run without a finished first stage."""
        return [seed for seed in range(self.pretraining(run)["seeds"]) if not self._has_stage(run, seed)]

    def trainings_to_do(self, run: str, asked: list[Need]) -> list[int]:
        """A training that nobody asks for is not done because its encoder is missing."""
        wanted = any(need.kind != EVALUATE or not self.is_evaluated(need) for need in asked if need.kind != "size")
        return self.missing(run) if wanted else []

    def stages_to_do(self, to_do: dict[str, list[int]]) -> dict[str, list[int]]:
        """First stages that the trainings to do go on from, and those that these go on from, by run."""
        stages: dict[str, list[int]] = {}
        for run, seeds in to_do.items():
            while seeds and run and has_first_stage(self.pretraining(run)):
                seeds = [seed for seed in seeds if not self._has_stage(run, seed)]
                if seeds:
                    stages[run] = sorted({*stages.get(run, []), *seeds})
                run = self.pretraining(run)["start"]["run"]
        return stages

    def is_evaluated(self, need: Need) -> bool:
        config = self.sheets.evaluation(self.scale, need.run, need.evaluation)
        return _made_with(Path(paths.evaluated(self.results, need.run, need.evaluation)), config)

    def _is_trained(self, run: str, seed: int) -> bool:
        encoder, log = (Path(paths.pretrained(self.results, run, seed, file)) for file in _TRAINED)
        return encoder.is_file() and _made_with(log, self.pretraining(run))

    def _has_stage(self, run: str, seed: int) -> bool:
        manifest = Path(paths.first_stage(self.results, run, seed))
        if not manifest.is_file():
            return False
        found = json.loads(manifest.read_text(encoding="utf-8"))["config"]
        return found["config_hash"] == self.pretraining(run)["config_hash"]


_TRAINED = "encoder.safetensors", "train.parquet"


def _made_with(file: Path, config: Config) -> bool:
    """Whether a file of records is there and was made with this config."""
    return file.is_file() and records.metadata(file)["config"]["config_hash"] == config["config_hash"]
