"""Every config that the sheets, recipes and scales of a `config/` folder make (torch-free)."""

from __future__ import annotations

import contextlib
import copy
import functools
from pathlib import Path

from simmim import plugin
from simmim.config.datasets import data_config
from simmim.config.errors import DoesNotFit, Unavailable, check_no_circle, located_at
from simmim.config.evaluate_models import PRETRAINED, EvaluateConfig, FeaturesConfig, SizeConfig
from simmim.config.evaluation import (
    check_init,
    check_is_run,
    evaluation_config,
    evaluation_data,
    evaluation_settings,
    features_config,
    fine_tuned_init,
)
from simmim.config.first_stage import check_first_stage
from simmim.config.folder import ConfigFolder
from simmim.config.models import DataConfig, PretrainConfig, TokenizerConfig
from simmim.config.pretraining import pretrain_config
from simmim.config.references import check_references
from simmim.config.rows import EvaluateRow, PretrainRow
from simmim.config.scale import ScaleConfig
from simmim.config.scale_check import check_scale_file
from simmim.config.tokenizers import tokenizer_config
from simmim.plugin import check_choice


class Sheets(ConfigFolder):
    """The sheets and the configs they make.

    Each config is made once. What is unknown or impossible raises a ValueError that names file, row, value and the
    nearest choice; what a scale cannot have raises `DoesNotFit`.

    Args:
        folder: holds `pretrain.tsv`, `recipes/`, `scales/` and so on.
    """

    def __init__(self, folder: Path | str) -> None:
        super().__init__(folder)
        check_references(self)

    @functools.cached_property
    def without_data(self) -> Sheets:
        """The same sheets, ignoring unavailable data sets: networks are counted by these."""
        sheets = copy.copy(self)
        sheets.needs_data = False
        return sheets

    @functools.cache  # noqa: B019 - lives as long as its process
    def checked_scale(self, name: str) -> ScaleConfig:
        """A scale all of whose names exist."""
        scale = self.scale(name)
        check_scale_file(self, name)
        return scale

    @functools.cache  # noqa: B019
    def runs(self, scale: str) -> list[str]:
        """Pre-training rows that a scale runs, in the order of the sheet."""
        wanted = self.checked_scale(scale).runs
        if wanted == "all":
            return [run for (run,), row in self.pretrain.items() if _has(scale, row)]
        return [run for run in self.all_runs if run in wanted]

    @functools.cache  # noqa: B019
    def evaluations(self, scale: str) -> list[tuple[str, str]]:
        """(run, evaluation) rows that a scale runs."""
        unwanted, runs = self.checked_scale(scale).without, {*self.runs(scale)}
        rows = [key for key, row in self.evaluate.items() if _has(scale, row)]
        return [(run, name) for run, name in rows if run in runs and name not in unwanted]

    @functools.cache  # noqa: B019
    def pretraining(self, scale: str, run: str) -> PretrainConfig:
        """Config of a pre-training run at a scale."""
        return self._pretraining(scale, run, ())

    def _pretraining(self, scale: str, run: str, followers: tuple[str, ...]) -> PretrainConfig:
        """Args as `pretraining`; `followers` begin with its first stage, the nearest first."""
        if (run,) not in self.pretrain:
            check_choice("run", run, self.all_runs)
        self.checked_scale(scale)
        with located_at(self.place("pretrain", run)):
            _check_has(scale, self.pretrain[(run,)])
            config = pretrain_config(self, scale, run)
            if config.init.run:
                check_no_circle("init.run", config.init.run, (run, *followers), "let one of them begin by itself")
                check_first_stage(config, self._pretraining(scale, config.init.run, (run, *followers)))
        return config

    @functools.cache  # noqa: B019
    def tokenizer(self, scale: str, name: str) -> TokenizerConfig:
        """Config of a tokenizer at a scale."""
        self.checked_scale(scale)
        return tokenizer_config(self, scale, name)

    @functools.cache  # noqa: B019
    def evaluation(self, scale: str, run: str, evaluation: str) -> EvaluateConfig:
        """Config of an evaluation of a run at a scale."""
        return self._evaluation(scale, run, evaluation, ())

    def _evaluation(self, scale: str, run: str, evaluation: str, followers: tuple[str, ...]) -> EvaluateConfig:
        """Args as `evaluation`; `followers` start from it, the nearest first."""
        if (run, evaluation) not in self.evaluate:
            check_choice("evaluation", f"{run}/{evaluation}", ["/".join(key) for key in self.evaluate])
        here = self.checked_scale(scale)
        row, pretraining = self.evaluate[run, evaluation], self._with_or_without_data(scale, run)
        with located_at(self.place("evaluate", run, evaluation)):
            _check_has(scale, row)
            settings = evaluation_settings(self, scale, row.recipe, row.set, pretraining.encoder.name)
            data = evaluation_data(self, scale, settings, pretraining.channels)
            followers = (evaluation, *followers)
            if settings.init != PRETRAINED:
                candidates = [name for name in self.fine_tunings() if (run, name) in self.evaluate]
                check_init(settings.init, run, candidates, followers)
                check_is_run(settings.init, here.without)
        is_pretrained = settings.init == PRETRAINED
        before = None if is_pretrained else fine_tuned_init(self._evaluation(scale, run, settings.init, followers))
        seeds = here.seeds.get(f"{run}/{evaluation}")
        return evaluation_config(settings, evaluation, self.pretraining(scale, run), data, before, seeds)

    def _with_or_without_data(self, scale: str, run: str) -> PretrainConfig:
        """Config of a run, also of one whose data are not public: what its evaluations lack is said first."""
        try:
            return self.pretraining(scale, run)
        except Unavailable:
            return self.without_data.pretraining(scale, run)

    @functools.cache  # noqa: B019
    def fine_tunings(self) -> list[str]:
        """Names of the evaluations that leave encoders.

        Raises:
            ValueError: for a name that fine-tunes one run and does something else with another: jobs go by the name.
        """
        tasks: dict[str, set[str]] = {}
        for run, evaluation in self.evaluate:
            with located_at(self.place("evaluate", run, evaluation)):
                task = self.recipe(self.evaluate[run, evaluation].recipe, "evaluate").get("task", "")
                tasks.setdefault(evaluation, set()).add(task)
        leave = {task for task in plugin.names("evaluate") if plugin.task_settings(task).leaves_encoders}
        for name, found in tasks.items():
            if found & leave and len(found) > 1:
                raise ValueError(f"evaluation '{name}' is {' and '.join(sorted(found))} in evaluate.tsv; use two names")
        return [name for name, found in tasks.items() if found & leave]

    @functools.cache  # noqa: B019
    def read_features(self, scale: str, run: str, evaluation: str) -> FeaturesConfig | None:
        """The frozen features that an evaluation reads; None for a task that reads none."""
        config = self.evaluation(scale, run, evaluation)
        return features_config(config) if plugin.task_settings(config.task).reads_features else None

    def features(self, scale: str, run: str, name: str) -> FeaturesConfig:
        """What determines the frozen features of a run that have this name; refuses those that no evaluation reads."""
        found: dict[str, FeaturesConfig] = {}
        for _, evaluation in [key for key in self.evaluate if key[0] == run]:
            with contextlib.suppress(DoesNotFit):
                if each := self.read_features(scale, run, evaluation):
                    found[each.name] = each
        check_choice(f"features of run '{run}' at scale '{scale}'", name, found)
        return found[name]

    @functools.cache  # noqa: B019
    def packed(self, scale: str, dataset: str, split: str) -> DataConfig:
        """How a data set of `datasets.tsv` is read and packed."""
        self.checked_scale(scale)
        return data_config(self, scale, dataset, split)

    @functools.cache  # noqa: B019
    def size(self, scale: str, run: str) -> SizeConfig:
        """Which networks of a run are counted; unavailable data sets are ignored.

        Of several fine-tunings it is the one called 'finetune', else the first. Where datasets.tsv does not say how
        many classes there are, the classifier counts with one.
        """
        sheets = self.without_data
        pretraining, finetune = sheets.pretraining(scale, run), sheets._counted_finetuning(scale, run)
        classes = sheets.published_classes(finetune.data["train"].dataset) or 1 if finetune else 0
        return SizeConfig(scale=scale, run=run, pretraining=pretraining, finetune=finetune, classes=classes)

    def _counted_finetuning(self, scale: str, run: str) -> EvaluateConfig | None:
        names = [evaluation for name, evaluation in self.evaluations(scale) if name == run]
        for name in sorted(names, key=lambda name: name != "finetune"):
            with contextlib.suppress(DoesNotFit):
                if name in self.fine_tunings():
                    return self.evaluation(scale, run, name)
        return None

    def published_classes(self, dataset: str) -> int | None:
        """Classes of a data set as datasets.tsv has them, whether it is packed or not."""
        return int(self.datasets[dataset, "train"].classes or 0) or None


def _has(scale: str, row: PretrainRow | EvaluateRow) -> bool:
    """Whether a row is one of this scale's: of any scale, where its column `scales` is empty."""
    return not row.scales or scale in row.scales.split()


def _check_has(scale: str, row: PretrainRow | EvaluateRow) -> None:
    """Refuse a row of other scales.

    Raises:
        DoesNotFit: with these scales.
    """
    if not _has(scale, row):
        raise DoesNotFit(f"a row of scale {' and '.join(row.scales.split())} only (column 'scales')")
