"""Every job of the workflow, written once: its config, inputs, outputs and hash.

Rules, verbs and the plan ask here. Torch-free: Snakemake reads it while it parses.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from simmim import NUMERICS
from simmim.config.evaluate_models import EvaluateConfig
from simmim.config.models import DataConfig, JobConfig, PretrainConfig
from simmim.config.sheets import Sheets
from simmim.plugin import check_choice
from simmim.report import catalogue
from simmim.storage.identity import config_hash
from simmim.storage.paths import OUTPUTS, match, pattern

TRAINING = ("tokenizer", "first_stage", "pretrain", "features", "finetune", "evaluate")
Inputs = dict[str, list[str]]


@dataclass(frozen=True)
class Job:
    """One job.

    Args:
        kind: one of `OUTPUTS`.
        wildcards: what tells it from others of its kind.
        config: what determines its numbers; None for the report's jobs.
        inputs: files it reads, by role.
        outputs: files it makes, by role.
        hash: changes with anything that determines what it makes, its inputs' content aside.
    """

    kind: str
    wildcards: Mapping[str, str]
    config: JobConfig | None
    inputs: Inputs
    outputs: Mapping[str, str]
    hash: str

    def output(self, role: str) -> Path:
        """One of its outputs."""
        return Path(self.outputs[role])

    def input_files(self) -> list[str]:
        """All of its inputs."""
        return [file for files in self.inputs.values() for file in files]

    def inputs_by_content(self) -> list[str]:
        """Inputs whose time does not count: packed data, of trainings whose outputs name it by digests."""
        # A tokenizer names none; a reconstruction is made again with its encoder.
        return self.inputs["data"] if self.kind in {*TRAINING, "reconstruct"} - {"tokenizer"} else []

    def planned_with(self, expected: str) -> Job:
        """The same job, which must still have the hash that it was planned with; any where that is ""."""
        if expected and expected != self.hash:
            raise ValueError(
                f"the config now has hash {self.hash}, this job was planned with {expected}: a sheet, recipe or scale "
                "was edited meanwhile; start Snakemake again"
            )
        return self


@dataclass(frozen=True)
class Jobs:
    """The jobs of a configuration.

    Args:
        results: folder of all scales.
    """

    sheets: Sheets
    results: str = "results"
    _made: dict[tuple, Job] = field(default_factory=dict, repr=False, compare=False)

    def path(self, kind: str, role: str, **wildcards: Any) -> str:
        """Where a job puts an output."""
        return pattern(self.results, kind, role).format(**wildcards)

    def job(self, kind: str, **wildcards: Any) -> Job:
        """One job.

        Raises:
            ValueError: for a kind, row or name that there is not, with the nearest one, and for a seed below 0.
            DoesNotFit: for a row that the scale cannot have.
        """
        check_choice("kind of job", kind, OUTPUTS)
        key = kind, *sorted((name, str(value)) for name, value in wildcards.items())
        if key not in self._made:
            words = {name: str(value) for name, value in wildcards.items()}
            if not words.get("seed", "0").isdecimal():
                raise ValueError(f"seed {words['seed']} must be a whole number, 0 or above")
            config, inputs, found = getattr(self, f"_{kind}")(**words)
            outputs = {role: self.path(kind, role, **words) for role in OUTPUTS[kind]}
            self._made[key] = Job(kind, words, config, inputs, outputs, found)
        return self._made[key]

    def maker(self, file: str) -> Job | None:
        """The job that makes a file; None for one that no job makes."""
        kind, wildcards = match(self.results, file) or ("", {})
        if "evaluation" in wildcards:
            kind = self.kind_of(wildcards["evaluation"])
        return self.job(kind, **wildcards) if kind else None

    def kind_of(self, evaluation: str) -> str:
        """The kind of job that an evaluation is: one that leaves encoders has more outputs."""
        return "finetune" if evaluation in self.sheets.fine_tunings() else "evaluate"

    # What each kind of job is made of: its config, its inputs by role, its hash.

    def _demo_data(self, scale: str) -> tuple[None, Inputs, str]:
        section = self.sheets.checked_scale(scale).demo_data
        if section is None:
            raise ValueError(f"scale '{scale}' makes no demo data: its file has no section demo_data")
        return None, {}, config_hash(section.model_dump(mode="json") | {"numerics": NUMERICS["data"]})

    def _pack(self, scale: str, dataset: str, split: str) -> tuple[DataConfig, Inputs, str]:
        config = self.sheets.packed(scale, dataset, split)
        card = [self.path("demo_data", "card", scale=scale)] if config.made_by else []
        return config, {"source": card}, config.packed_hash

    def _tokenizer(self, scale: str, tokenizer: str) -> tuple[JobConfig, Inputs, str]:
        config = self.sheets.tokenizer(scale, tokenizer)
        published = [self.sheets.located(config.published_file)] if config.published_file else []
        return config, {"data": self._packed(scale, config.data), "published": published}, config.hash

    def _first_stage(self, scale: str, run: str, seed: str) -> tuple[PretrainConfig, Inputs, str]:
        config, inputs = self._training(scale, run)
        shorter = config.init.run
        stage = [self.path("first_stage", "manifest", scale=scale, run=shorter, seed=seed)] if shorter else []
        return config, inputs | {"first_stage": stage}, config.hash

    def _pretrain(self, scale: str, run: str, seed: str) -> tuple[PretrainConfig, Inputs, str]:
        config, inputs = self._training(scale, run)
        if config.has_first_stage:
            stage = self.path("first_stage", "manifest", scale=scale, run=run, seed=seed)
            inputs |= {"first_stage": [stage], "encoder": []}
        return config, inputs, config.hash

    def _training(self, scale: str, run: str) -> tuple[PretrainConfig, Inputs]:
        """Config of a run, and what all of its trainings read."""
        config = self.sheets.pretraining(scale, run)
        encoder = [self.sheets.located(config.init.encoder)] if config.init.encoder else []
        codes = [config.tokenizer.name] if config.tokenizer else []
        tokenizer = [self.path("tokenizer", "tokenizer", scale=scale, tokenizer=name) for name in codes]
        return config, {"data": self._packed(scale, config.data), "encoder": encoder, "tokenizer": tokenizer}

    def _reconstruct(self, scale: str, run: str, seed: str) -> tuple[PretrainConfig, Inputs, str]:
        config, inputs = self._training(scale, run)
        drawn = self.sheets.drawn(config.data["val"].dataset)
        own = {role: [self.path("pretrain", role, scale=scale, run=run, seed=seed)] for role in ("encoder", "head")}
        found = config_hash({"pretraining": config.pictures_hash, "drawn": drawn, "numerics": NUMERICS["report"]})
        return config, {"data": inputs["data"], "tokenizer": inputs["tokenizer"]} | own, found

    def _features(self, scale: str, run: str, seed: str, features: str) -> tuple[JobConfig, Inputs, str]:
        config = self.sheets.features(scale, run, features)
        encoder = self.path("pretrain", "encoder", scale=scale, run=run, seed=seed)
        if config.init:
            encoder = self.path("finetune", "encoders", scale=scale, run=run, evaluation=config.init.evaluation)
        return config, {"data": self._packed(scale, config.data), "encoder": [encoder]}, config.hash

    def _evaluate(self, scale: str, run: str, evaluation: str) -> tuple[EvaluateConfig, Inputs, str]:
        config = self.sheets.evaluation(scale, run, evaluation)
        encoders = [str(file) for file in self.encoders_of(config)]
        if config.init:  # a fine-tuning leaves its encoders as one folder
            encoders = [str(Path(encoders[0]).parent)]
        inputs = {"encoders": encoders, "data": self._packed(scale, config.data), "features": self.features_of(config)}
        return config, inputs, config.hash

    _finetune = _evaluate

    def _size(self, scale: str, run: str) -> tuple[JobConfig, Inputs, str]:
        config = self.sheets.size(scale, run)
        return config, {}, config.hash

    def _avg_dist(self, scale: str) -> tuple[None, Inputs, str]:
        runs = catalogue.facts(self.sheets, scale).measured_masks()
        return None, {}, config_hash({run: self.sheets.pretraining(scale, run).hash for run in runs})

    def _mask_samples(self, scale: str) -> tuple[PretrainConfig, Inputs, str]:
        config = self.sheets.pretraining(scale, catalogue.reference_run(self.sheets))
        return config, {"data": self._packed(scale, {"val": config.data["val"]})}, config.pictures_hash

    def _table(self, scale: str, name: str) -> tuple[None, Inputs, str]:
        needs = catalogue.table_needs(name, self.sheets, scale)
        return None, {"results": self.files(scale, needs)}, catalogue.content_hash(self.sheets, scale)

    def _figure(self, scale: str, name: str) -> tuple[None, Inputs, str]:
        needs = catalogue.figure_needs(name, self.sheets, scale)
        return None, {"results": self.files(scale, needs)}, catalogue.content_hash(self.sheets, scale)

    def _page(self, scale: str) -> tuple[None, Inputs, str]:
        tables = catalogue.shown_tables(self.sheets, scale)
        figures = catalogue.figures(self.sheets, scale)
        card = [self.path("demo_data", "card", scale=scale)] if catalogue.has_data_card(self.sheets, scale) else []
        inputs = {
            "tables": [self.path("table", "parquet", scale=scale, name=name) for name in tables],
            "figures": [self.path("figure", "png", scale=scale, name=name) for name in figures],
            "card": card,
        }
        return None, inputs, catalogue.content_hash(self.sheets, scale)

    def data_folders(self, config: Any) -> dict[str, Path]:
        """By split, the folders of the packed data sets that a job reads."""
        return {split: Path(file).parent for split, file in zip(config.data, self._packed(config.scale, config.data))}

    def encoders_of(self, config: EvaluateConfig) -> list[Path]:
        """The encoder files that an evaluation starts from, by the seed they were trained with."""
        if not config.init:
            return [Path(file) for file in self._seeds("pretrain", "encoder", config.scale, config.run)][: config.seeds]
        where = {"scale": config.scale, "run": config.run}
        folder = self.path("finetune", "encoders", **where, evaluation=config.init.evaluation)
        return [Path(folder) / f"seed{seed}.safetensors" for seed in range(config.init.seeds)]

    def features_of(self, config: EvaluateConfig) -> list[str]:
        """For every encoder that an evaluation starts from, the folder of its frozen features, if it reads any.

        Seed s of the evaluation starts from number s modulo their count.
        """
        read = self.sheets.read_features(config.scale, config.run, config.evaluation)
        if read is None:
            return []
        seeds = range(min(config.seeds, len(self.encoders_of(config))))
        where = {"scale": config.scale, "run": config.run, "features": read.name}
        return [self.path("features", "folder", **where, seed=seed) for seed in seeds]

    def files(self, scale: str, needs: Iterable[catalogue.ResultFile]) -> list[str]:
        """The result files that a table or figure asks for."""
        found: list[str] = []
        for kind, run, evaluation in needs:
            if kind == "pretrain":
                found += self._seeds(kind, "records", scale, run)
            else:  # pictures are those of the first pre-training
                which = {"seed": 0} if kind == "reconstruct" else {"evaluation": evaluation}
                found.append(self.path(kind, next(iter(OUTPUTS[kind])), scale=scale, run=run, **which))
        return found

    def _packed(self, scale: str, data: Mapping[str, DataConfig]) -> list[str]:
        return [self.path("pack", "index", scale=scale, dataset=d.dataset, split=d.split) for d in data.values()]

    def _seeds(self, kind: str, role: str, scale: str, run: str) -> list[str]:
        """An output of a run for each of its pre-training seeds."""
        seeds = range(self.sheets.pretraining(scale, run).seeds)
        return [self.path(kind, role, scale=scale, run=run, seed=seed) for seed in seeds]
