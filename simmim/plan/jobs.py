"""The jobs of a target in the workflow's order, and which of them are done (torch-free)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from simmim.config.first_stage import has_first_stage
from simmim.config.resolve import Config
from simmim.config.sheets import Sheets
from simmim.evaluate import feature_sets
from simmim.plan.done import Done
from simmim.report.scale_facts import ResultFile

TOKENIZER, FIRST_STAGE, PRETRAIN, FEATURES, EVALUATE = "tokenizer", "first_stage", "pretrain", "features", "evaluate"


@dataclass(frozen=True)
class Job:
    """All seeds of a rule of the workflow for one row; a run with the step schedule has a first stage beside it.

    Args:
        kind: 'tokenizer', 'first_stage', 'pretrain', 'features' or 'evaluate'.
        run: row of pretrain.tsv, or of tokenizers.tsv.
        evaluation: row of evaluate.tsv; of features, their name.
        config: completed config of the row.
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


def jobs_of(needs: list[ResultFile], sheets: Sheets, scale: str, results: Path) -> list[Job]:
    """Tokenizers, then runs in the order of the sheet with their evaluations, as `snakemake` would or did run them.

    Args:
        needs: result files that are asked for.
        results: folder of all scales.
    """
    done = Done(sheets, scale, str(results / scale))
    runs = sheets.runs(scale)
    asked = {run: [need for need in needs if need.run == run and need.kind != "size"] for run in runs}
    with_starts = {run: _with_starts(asked[run], done) for run in runs}
    evaluations = {run: _evaluations_to_do(asked[run], with_starts[run], done) for run in runs}
    to_do = {run: done.seeds_missing(run, with_starts[run], evaluations[run]) for run in runs}
    stages = _stages_to_do(to_do, done)
    jobs = [
        job
        for run in runs
        for job in _jobs_of_run(run, with_starts[run], evaluations[run], to_do[run], stages.get(run, []), done)
    ]
    return [*_tokenizers(jobs, done), *jobs]


def _jobs_of_run(
    run: str, asked: list[ResultFile], evaluations: list[ResultFile], to_do: list[int], stages: list[int], done: Done
) -> Iterator[Job]:
    if not asked and not stages:
        return
    config = done.pretraining(run)
    seeds = range(config["seeds"])
    if stages or (has_first_stage(config) and all(done.has_first_stage(run, seed) for seed in seeds)):
        yield Job(FIRST_STAGE, run, "", config, len(seeds), len(stages))
    if to_do or (asked and all(done.is_trained(run, seed) for seed in seeds)):
        yield Job(PRETRAIN, run, "", config, len(seeds), len(to_do))
    yield from _evaluations_of_run(run, asked, evaluations, to_do, done)


def _evaluations_of_run(
    run: str, asked: list[ResultFile], evaluations: list[ResultFile], to_do: list[int], done: Done
) -> Iterator[Job]:
    """Each after the features it reads."""
    for need in asked:
        if need.kind == EVALUATE:
            own = done.evaluation(need)
            is_done = not to_do and need not in evaluations  # Snakemake repeats what comes after a new training
            if not is_done:
                yield from _features(need, own, to_do, done.start(need) in evaluations, done)
            if not is_done or done.is_evaluated(need):
                yield Job(EVALUATE, run, need.evaluation, own, own["seeds"], 0 if is_done else own["seeds"])


def _features(need: ResultFile, config: Config, to_do: list[int], start_is_new: bool, done: Done) -> Iterator[Job]:
    """Frozen features that an evaluation to do reads."""
    seeds = feature_sets.seeds_of(config, done.pretraining(need.run))
    for split, name in feature_sets.names_by_split(config).items():
        own = feature_sets.feature_config(config, split)
        old = [s for s in seeds if s not in to_do and done.has_features(need.run, s, name, own)]
        missing = len(seeds) - (0 if start_is_new else len(old))
        own = own | {"data": {"set": own["data"]}, "config_hash": name.rpartition("_")[2]}
        yield Job(FEATURES, need.run, name, own, len(seeds), missing)


def _with_starts(asked: list[ResultFile], done: Done) -> list[ResultFile]:
    """What is asked of a run, every evaluation after the fine-tuning it starts from."""
    chains = []
    for need in asked:
        chain = [need]
        while start := done.start(chain[0]):
            chain.insert(0, start)
        chains += chain
    return list(dict.fromkeys(chains))


def _evaluations_to_do(asked: list[ResultFile], with_starts: list[ResultFile], done: Done) -> list[ResultFile]:
    """Evaluations that are missing, those whose encoders they read and lack, and those that start from one to do."""
    to_do = [need for need in asked if need.kind == EVALUATE and not done.is_evaluated(need)]
    for need in reversed(with_starts):
        start = done.start(need)
        if start and need in to_do and start not in to_do and not done.has_fine_tuned(start):
            to_do.append(start)
    for need in with_starts:
        if done.start(need) in to_do and need not in to_do:
            to_do.append(need)
    return to_do


def _stages_to_do(to_do: dict[str, list[int]], done: Done) -> dict[str, list[int]]:
    """Seeds by run of the first stages that the trainings to do go on from, and that these go on from."""
    stages: dict[str, list[int]] = {}
    for run, seeds in to_do.items():
        while seeds and run and has_first_stage(done.pretraining(run)):
            seeds = [seed for seed in seeds if not done.has_first_stage(run, seed)]
            if seeds:
                stages[run] = sorted({*stages.get(run, []), *seeds})
            run = done.pretraining(run)["start"]["run"]
    return stages


def _tokenizers(jobs: list[Job], done: Done) -> list[Job]:
    """Those that trainings predict the codes of, each once; made only where a training is to do."""
    needed: dict[str, bool] = {}
    for job in jobs:
        if job.kind != EVALUATE and "tokenizer" in job.config:
            name = job.config["tokenizer"]["name"]
            needed[name] = needed.get(name, False) or job.seeds_to_do > 0
    made = [
        Job(TOKENIZER, name, "", done.tokenizer(name), 1, 0 if done.has_tokenizer(name) else 1)
        for name, is_needed in needed.items()
        if is_needed or done.has_tokenizer(name)
    ]
    return made
