"""The `config/` folder as it is written: its sheets, recipes and scales, each checked when it is read."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Any

from simmim.config.errors import located_at, validated
from simmim.config.reading import read_sheet, read_yaml
from simmim.config.recipe_check import check_recipe
from simmim.config.rows import (
    ClaimRow,
    ConfigFile,
    DatasetRow,
    DrawnMaskRow,
    EvaluateRow,
    PaperRow,
    PretrainRow,
    TableRow,
    TokenizerRow,
)
from simmim.config.scale import ScaleConfig
from simmim.config.shipped import config_folder
from simmim.plugin import check_choice
from simmim.storage.reading import os_error


class ConfigFolder:
    """Rows, recipes and scales.

    Args:
        folder: holds `pretrain.tsv`, `recipes/`, `scales/` and so on.

    Attributes:
        needs_data: whether rows whose data are not public are refused; networks can be counted without them.
    """

    needs_data = True

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise ValueError(
                f"there is no folder {self.folder}: run this where config/ lies, or name one by --config; the sheets "
                f"that come with the package are --config {config_folder()}"
            )
        self.pretrain = read_sheet(self.folder / "pretrain.tsv", ("run",), PretrainRow)
        self.evaluate = read_sheet(self.folder / "evaluate.tsv", ("run", "evaluation"), EvaluateRow)
        self.datasets = read_sheet(self.folder / "datasets.tsv", ("dataset", "split"), DatasetRow)
        self.tokenizers = read_sheet(self.folder / "tokenizers.tsv", ("tokenizer",), TokenizerRow)
        self.paper = read_sheet(self.folder / "paper.tsv", ("table", "row", "column"), PaperRow)
        self.tables = read_sheet(self.folder / "tables.tsv", ("table",), TableRow)
        self.claims = read_sheet(self.folder / "claims.tsv", ("claim", "evaluation"), ClaimRow)
        self.drawn_masks = read_sheet(self.folder / "drawn_masks.tsv", ("dataset", "sample_id"), DrawnMaskRow)

    @functools.cached_property
    def all_runs(self) -> list[str]:
        """Every row of pretrain.tsv."""
        return [run for (run,) in self.pretrain]

    @functools.cached_property
    def config_file(self) -> ConfigFile:
        """config.yaml."""
        path = self.folder / "config.yaml"
        with located_at(str(path)):
            return validated(ConfigFile, read_yaml(path))

    def scales(self) -> list[str]:
        """Names of every scale."""
        return self._names("scales")

    @functools.cache  # noqa: B019 - lives as long as its process
    def scale(self, name: str) -> ScaleConfig:
        """A scale; what it says about rows is checked by `Sheets.scale`."""
        check_choice("scale", name, self.scales())
        path = self.folder / "scales" / f"{name}.yaml"
        with located_at(str(path)):
            return validated(ScaleConfig, read_yaml(path))

    @functools.cached_property
    def data_roles(self) -> set[str]:
        """What data sets are for ('pretrain', 'classify', ...): every role that a scale gives one."""
        return {role for name in self.scales() for role in self.scale(name).datasets}

    def recipes(self, stage: str) -> list[str]:
        """Names of the recipes for 'pretrain' or 'evaluate'."""
        return [name for name in self._names("recipes") if self._read_recipe(name).get("stage") == stage]

    def recipe(self, name: str, stage: str) -> dict[str, Any]:
        """The values of a recipe.

        Raises:
            ValueError: for an unknown recipe, one for another stage, or one without a task or a section's settings.
        """
        check_choice("recipe", name, self._names("recipes"))
        values = dict(self._read_recipe(name))
        if (found := values.pop("stage", None)) != stage:
            raise ValueError(f"recipe '{name}' is for stage '{found}', not for '{stage}'")
        with located_at(f"{self.folder}/recipes/{name}.yaml"):
            check_recipe(values, stage)
        return values

    @functools.cache  # noqa: B019
    def _read_recipe(self, name: str) -> dict[str, Any]:
        return read_yaml(self.folder / "recipes" / f"{name}.yaml")

    @functools.cache  # noqa: B019 - lives as long as its process
    def _names(self, kind: str) -> list[str]:
        """Names of the YAML files of a folder, in alphabetical order."""
        try:
            files = [Path(name) for name in os.listdir(self.folder / kind)]  # `glob` finds nothing in a locked folder
        except OSError as error:
            raise ValueError(os_error(error)) from None
        return sorted(path.stem for path in files if path.suffix == ".yaml")

    def located(self, path: str) -> str:
        """A path with `$data` replaced by the `data_root` of config.yaml, and `~` by the home folder."""
        return os.path.expanduser(path.replace("$data", self.config_file.data_root))

    def place(self, sheet: str, *key: str) -> str:
        """How messages name a row."""
        return f"{self.folder}/{sheet}.tsv, row '{' '.join(key)}'"

    def drawn(self, dataset: str) -> dict[str, str]:
        """Outlines of objects in the images of a data set, by sample id."""
        return {sample: row.outline for (name, sample), row in self.drawn_masks.items() if name == dataset}
