"""The jobs of a target in the workflow's order, grouped over seeds, and how many of them are to do (torch-free)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from simmim.config.evaluate_models import EvaluateConfig, FeaturesConfig
from simmim.config.models import PretrainConfig, TokenizerConfig
from simmim.config.sheets import Sheets
from simmim.jobs import TRAINING, Job, Jobs
from simmim.planning.done import is_finished
from simmim.planning.graph import Graph, graph_of

TOKENIZER, FIRST_STAGE, PRETRAIN, FEATURES, EVALUATE = "tokenizer", "first_stage", "pretrain", "features", "evaluate"
TrainingConfig = TokenizerConfig | PretrainConfig | FeaturesConfig | EvaluateConfig


@dataclass(frozen=True)
class JobGroup:
    """The jobs of one row for all of its seeds.

    Args:
        kind: 'tokenizer', 'first_stage', 'pretrain', 'features' or 'evaluate', fine-tunings among these.
        run: row of pretrain.tsv, or of tokenizers.tsv.
        evaluation: row of evaluate.tsv; of features, their name.
        seeds: trainings in all.
        seeds_to_do: those that are not finished; 0 for a finished group.
    """

    kind: str
    run: str
    evaluation: str
    config: TrainingConfig
    seeds: int
    seeds_to_do: int

    @property
    def name(self) -> str:
        """As paths have it: 'run' or 'run/evaluation'."""
        return f"{self.run}/{self.evaluation}" if self.evaluation else self.run


def groups_of(files: Iterable[str], jobs: Jobs) -> list[JobGroup]:
    """Tokenizers, then runs in the order of the sheet, each with what is to do and what is done.

    Args:
        files: result files that are asked for.
    """
    graph = graph_of(files, jobs)
    to_run = graph.to_run()
    members: dict[tuple[str, str, str], list[str]] = {}
    for name in _shown(graph, to_run):
        members.setdefault(_key(graph.jobs[name]), []).append(name)
    groups = [
        _group(key, [graph.jobs[name] for name in names], len(to_run.intersection(names)))
        for key, names in members.items()
    ]
    groups = [group for group in groups if group.seeds_to_do or _is_done(members, group, graph)]
    return sorted(groups, key=lambda group: _place(group, jobs.sheets))


def _shown(graph: Graph, to_run: set[str]) -> list[str]:
    """Trainings to run, the features these read, tokenizers, and trainings of the runs that are asked for."""
    asked = {graph.jobs[graph.makers[file]].wildcards.get("run") for file in graph.asked & graph.makers.keys()}
    read = {maker for name in to_run for maker in graph.makers_of_inputs(graph.jobs[name])}

    def is_shown(name: str, job: Job) -> bool:
        if job.kind == FEATURES:
            return name in to_run | read
        return name in to_run or job.kind == TOKENIZER or job.wildcards["run"] in asked

    return [name for name, job in graph.jobs.items() if job.kind in TRAINING and is_shown(name, job)]


def _key(job: Job) -> tuple[str, str, str]:
    where = job.wildcards
    kind = EVALUATE if "evaluation" in where else job.kind
    return kind, where.get("run") or where["tokenizer"], where.get("evaluation") or where.get("features", "")


def _group(key: tuple[str, str, str], jobs: list[Job], to_run: int) -> JobGroup:
    """One row; an evaluation has all of its seeds in one job."""
    config = jobs[0].config
    seeds = config.seeds if isinstance(config, PretrainConfig | EvaluateConfig) else len(jobs)
    return JobGroup(*key, config, seeds, seeds * to_run if key[0] == EVALUATE else to_run)


def _is_done(members: Mapping[tuple[str, str, str], list[str]], group: JobGroup, graph: Graph) -> bool:
    return all(is_finished(graph.jobs[name]) for name in members[group.kind, group.run, group.evaluation])


def _place(group: JobGroup, sheets: Sheets) -> tuple[int, int, int]:
    """Where a group stands; features and evaluations of a run stay in the order in which they are asked for."""
    if group.kind == TOKENIZER:
        return 0, [name for (name,) in sheets.tokenizers].index(group.run), 0
    within = {FIRST_STAGE: 0, PRETRAIN: 1}.get(group.kind, 2)
    return 1, sheets.all_runs.index(group.run), within
