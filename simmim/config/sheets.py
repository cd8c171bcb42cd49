"""From rows and recipes to one completed config per job (torch-free: Snakemake resolves every job while parsing).

A pre-training row names a recipe (`config/recipes/`) in the paper's pixels and epochs, changes single values in its
`set` column, and a scale (`config/scales/`) says what the paper's pixels, epochs and widths become.
"""

from __future__ import annotations

import contextlib
import copy
import functools
from pathlib import Path

from simmim import NUMERICS
from simmim.config.first_stage import check_first_stage
from simmim.config.reading import parse_set, read_sheet, read_yaml
from simmim.config.references import check_references
from simmim.config.resolve import (
    Config,
    DoesNotFit,
    Unavailable,
    apply_set,
    defaults,
    located_at,
    merged,
    to_scale,
    validated,
)
from simmim.config.sections import PRETRAINED, Evaluation, Pretraining, Tokenizer
from simmim.config.start import check_is_run, check_start, fine_tunings, started
from simmim.evaluate.feature_sets import feature_config, names_by_split
from simmim.evaluate.settings import SETTINGS
from simmim.plugin import check_choice, names
from simmim.storage.records import config_hash


class Sheets:
    """Every sheet, recipe and scale of a `config/` folder, and the configs they make.

    Args:
        folder: the folder that holds `pretrain.tsv`, `recipes/` and so on.
    """

    def __init__(self, folder: Path | str) -> None:
        self._folder = Path(folder)
        self.pretrain = read_sheet(self._folder / "pretrain.tsv", key=("run",))
        self.evaluate = read_sheet(self._folder / "evaluate.tsv", key=("run", "evaluation"))
        self.datasets = read_sheet(self._folder / "datasets.tsv", key=("dataset", "split"))
        self.tokenizers = read_sheet(self._folder / "tokenizers.tsv", key=("tokenizer",))
        self.paper = read_sheet(self._folder / "paper.tsv", key=("table", "row", "column"))
        self.drawn_masks = read_sheet(self._folder / "drawn_masks.tsv", key=("dataset", "sample_id"))
        self.tables = read_sheet(self._folder / "tables.tsv", key=("table",))
        self.claims = read_sheet(self._folder / "claims.tsv", key=("claim", "evaluation"))
        self._needs_data = True
        check_references(self)

    @functools.cached_property
    def without_data(self) -> Sheets:
        """The same sheets, where data that nobody can get stand in nothing's way: networks are counted by these."""
        sheets = copy.copy(self)
        sheets._needs_data = False
        return sheets

    def scale(self, name: str) -> Config:
        """The settings of a scale."""
        settings = self._named("scale", name)
        for run in settings.get("seeds", {}):
            check_choice(f"run among the seeds of scale '{name}'", run, [run for (run,) in self.pretrain])
        return settings

    def scales(self) -> list[str]:
        """Names of every scale."""
        return sorted(path.stem for path in (self._folder / "scales").glob("*.yaml"))

    def runs(self, scale: str) -> list[str]:
        """Pre-training rows that a scale runs."""
        known, wanted = [name for (name,) in self.pretrain], self.scale(scale).get("runs", "all")
        if wanted == "all":
            return known
        for name in wanted:
            check_choice(f"run among the runs of scale '{scale}'", name, known)
        return [name for name in known if name in wanted]

    def evaluations(self, scale: str) -> list[tuple[str, str]]:
        """(run, evaluation) rows that a scale runs."""
        settings = self.scale(scale)
        unwanted, runs = settings.get("without", []), self.runs(scale)
        for name in unwanted:
            check_choice(f"evaluation that scale '{scale}' is without", name, {name for _, name in self.evaluate})
        return [(run, name) for run, name in self.evaluate if run in runs and name not in unwanted]

    @functools.cache  # noqa: B019 - a Sheets lives as long as its process
    def pretraining(self, scale: str, run: str) -> Config:
        """Completed config of a pre-training run at a scale, with its hash.

        Raises:
            ValueError: for anything unknown or impossible in the row, naming file, row, value and the nearest choice.
            DoesNotFit: when the row cannot exist at this scale.
        """
        check_choice("run", run, [name for (name,) in self.pretrain])
        row, settings = self.pretrain[(run,)], self.scale(scale)
        with located_at(self.place("pretrain", run)):
            recipe = self._recipe(row["recipe"], "pretrain")
            factor = settings.get("pretrain_epochs", 1.0)
            base = to_scale(recipe, settings, factor)
            widths = {part: settings.get(f"{part}s", {}) for part in ("encoder", "head", "method")}
            named = {part: widths[part].get(recipe[part]["name"], {}) for part in widths if part in recipe}
            config = defaults(Pretraining) | merged(base, settings.get("pretrain", {}) | named)
            apply_set(config, to_scale(parse_set(row["set"]), settings, factor), widths)
            config["seeds"] = settings.get("seeds", {}).get(run, config["seeds"])
            config = validated(Pretraining, {k: v for k, v in config.items() if k != "stage"})
            if widths["encoder"] and config["encoder"]["name"] not in widths["encoder"]:
                raise DoesNotFit(f"encoder {config['encoder']['name']} has no counterpart at this scale")
            config["data"] = {split: self.dataset(scale, config["role"], split) for split in ("train", "val")}
            if "tokenizer" in (config["target"] or {}):
                config["tokenizer"] = self.tokenizer(scale, config["target"]["tokenizer"])
            if config["start"]["run"]:
                check_first_stage(config, self.pretraining(scale, config["start"]["run"]))
        return _hashed({"scale": scale, "run": run, "numerics": _numerics("data", "pretrain")} | config)

    @functools.cache  # noqa: B019
    def tokenizer(self, scale: str, name: str) -> Config:
        """Completed config of a tokenizer at a scale, with its hash.

        Its lengths are its own: a scale changes them by name, under `tokenizers`.

        Raises:
            ValueError: as `pretraining`.
        """
        check_choice("tokenizer", name, [name for (name,) in self.tokenizers])
        row = self.tokenizers[(name,)]
        with located_at(self.place("tokenizers", name)):
            check_choice("kind of tokenizer", row["kind"], names("tokenizers"))
            config: Config = {"kind": {"name": row["kind"]}}
            for key, value in parse_set(row["set"]).items():
                section, _, setting = key.rpartition(".")
                config.setdefault(section or "kind", {})[setting] = value
            config = merged(config, self.scale(scale).get("tokenizers", {}).get(name, {}))
            config = validated(Tokenizer, config)
        published = config["kind"].get("file")
        config["data"] = {} if published else {"train": self.dataset(scale, "pretrain", "train")}
        return _hashed({"scale": scale, "name": name, "numerics": _numerics("data", "tokenizer")} | config)

    @functools.cache  # noqa: B019
    def evaluation(self, scale: str, run: str, evaluation: str) -> Config:
        """Completed config of an evaluation of a pre-trained run at a scale, with its hash; raises as `pretraining`.

        One that begins with the encoder of a fine-tuning has a section `start`, as `simmim.start.started` makes it.
        """
        return self._evaluation(scale, run, evaluation, ())

    def _evaluation(self, scale: str, run: str, evaluation: str, followers: tuple[str, ...]) -> Config:
        """Args as `evaluation`; `followers` start from it, the nearest first."""
        if (run, evaluation) not in self.evaluate:
            check_choice("evaluation", f"{run}/{evaluation}", ["/".join(key) for key in self.evaluate])
        row, settings = self.evaluate[(run, evaluation)], self.scale(scale)
        with located_at(self.place("evaluate", run, evaluation)):
            recipe = self._recipe(row["recipe"], "evaluate")
            here = settings.get("evaluate", {})
            here = merged(here.get(recipe["task"], {}), here.get(row["recipe"], {}))
            config = defaults(Evaluation) | merged(to_scale(recipe, settings), here)
            apply_set(config, to_scale(parse_set(row["set"]), settings))
            config = validated(Evaluation, {k: v for k, v in config.items() if k != "stage"})
            config["settings"] = validated(SETTINGS[config["task"]], config["settings"])
            config["data"] = {split: self.dataset(scale, config["role"], split) for split in ("train", "val")}
            further = f"{config['role']}_further"
            if config["task"] == "finetune" and further in settings["datasets"]:
                config["data"]["further"] = self.dataset(scale, further, "val")
            followers, start = (evaluation, *followers), config.pop("start")
            if start != PRETRAINED:
                candidates = [name for name in self.fine_tunings() if (run, name) in self.evaluate]
                check_start(start, run, candidates, followers)
                check_is_run(start, settings.get("without", []))
        if start != PRETRAINED:
            config["start"] = started(self._evaluation(scale, run, start, followers))
        pretraining = self.pretraining(scale, run)
        widths = settings.get("encoders", {}).get(pretraining["encoder"]["name"], {})
        # A scale has the last word on what belongs to the encoder, its windows foremost.
        config["encoder"] |= {k: v for k, v in widths.items() if k in config["encoder"]} | here.get("encoder", {})
        head = {"scale": scale, "run": run, "evaluation": evaluation, "pretraining": pretraining["config_hash"]}
        return _hashed(head | {"numerics": _numerics("data", "evaluate")} | config)

    @functools.cache  # noqa: B019
    def fine_tunings(self) -> list[str]:
        """Names of the evaluations that fine-tune; a name belongs to one task, for jobs go by it."""
        return fine_tunings(self.evaluate, self._task)

    def features(self, scale: str, run: str, name: str) -> Config:
        """What determines the frozen features of a run that have this name; refuses those that no evaluation reads."""
        found: dict[str, Config] = {}
        for _, evaluation in [key for key in self.evaluate if key[0] == run]:
            with contextlib.suppress(DoesNotFit):
                config = self.evaluation(scale, run, evaluation)
                found |= {each: feature_config(config, split) for split, each in names_by_split(config).items()}
        check_choice(f"features of run '{run}' at scale '{scale}'", name, found)
        return found[name]

    def dataset(self, scale: str, role: str, split: str) -> Config:
        """The data set that plays a role ('pretrain', 'classify', 'detect', 'segment') at a scale.

        Returns:
            `dataset`, `split`, `made_by`, `source` (adapter and its settings) and `pack` settings.
        """
        roles = self.scale(scale)["datasets"]
        check_choice("data role", role, {role for name in self.scales() for role in self.scale(name)["datasets"]})
        if role not in roles:
            raise DoesNotFit(f"no data set has the role '{role}' at this scale")
        return self.packed(scale, roles[role], split)

    def packed(self, scale: str, dataset: str, split: str) -> Config:
        """How a data set of `datasets.tsv` is read and packed.

        `$data` stays in its paths until it is packed: where data lie on a machine belongs to no result.
        """
        known = sorted({name for name, _ in self.datasets})
        check_choice("dataset", dataset, known)
        if (dataset, split) not in self.datasets:
            raise ValueError(f"{self._folder}/datasets.tsv has no split '{split}' of '{dataset}'")
        row = self.datasets[(dataset, split)]
        with located_at(self.place("datasets", dataset, split)):
            check_choice("maker of a data set", row["made_by"], ["", "demo"])
            values = parse_set(row["set"].replace("$scale", scale))
            if row["source"] == "unavailable" and self._needs_data:
                raise Unavailable(f"{dataset}: {values['reason']}")
            source = {"name": row["source"]} | {k: v for k, v in values.items() if not k.startswith("pack.")}
            pack = {k.removeprefix("pack."): v for k, v in values.items() if k.startswith("pack.")}
        made_from = self.scale(scale).get("demo_data", {}) if row["made_by"] == "demo" else {}
        config = {"dataset": dataset, "split": split, "made_by": row["made_by"], "made_from": made_from}
        return config | {"source": source, "pack": pack, "numerics": NUMERICS["data"]}

    def drawn(self, dataset: str) -> dict[str, str]:
        """Outlines of objects in the images of a data set, by sample id; "*" stands for all others."""
        own = {sample: row["shape"] for (name, sample), row in self.drawn_masks.items() if name == dataset}
        return {"*": self.drawn_masks[("*", "*")]["shape"]} | own

    def located(self, source: Config) -> Config:
        """Settings with `$data` in their values replaced by the `data_root` of `config.yaml`."""
        root = read_yaml(self._folder / "config.yaml")["data_root"]
        return {key: value.replace("$data", root) if isinstance(value, str) else value for key, value in source.items()}

    def place(self, sheet: str, *key: str) -> str:
        """How messages name a row."""
        return f"{self._folder}/{sheet}.tsv, row '{' '.join(key)}'"

    def _task(self, row: tuple[str, ...]) -> str:
        """The task of a row of evaluate.tsv."""
        with located_at(self.place("evaluate", *row)):
            return self._recipe(self.evaluate[row]["recipe"], "evaluate")["task"]

    def _recipe(self, name: str, stage: str) -> Config:
        recipe = self._named("recipe", name)
        if recipe.get("stage") != stage:
            raise ValueError(f"recipe '{name}' is for stage '{recipe.get('stage')}', not for '{stage}'")
        return recipe

    def _named(self, kind: str, name: str) -> Config:
        folder = self._folder / f"{kind}s"
        check_choice(kind, name, [path.stem for path in folder.glob("*.yaml")])
        return copy.deepcopy(read_yaml(folder / f"{name}.yaml"))


def _numerics(*stages: str) -> dict[str, int]:
    return {stage: NUMERICS[stage] for stage in stages}


def _hashed(config: Config) -> Config:
    return config | {"config_hash": config_hash(config)}
