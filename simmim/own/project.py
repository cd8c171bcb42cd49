"""The small project of a run folder: sheets with one row, the recipe it names, one scale, its data sets."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from simmim.config.reading import read_yaml
from simmim.config.rows import (
    ClaimRow,
    DatasetRow,
    DrawnMaskRow,
    EvaluateRow,
    PaperRow,
    PretrainRow,
    TableRow,
    TokenizerRow,
)
from simmim.config.sections import Section
from simmim.config.sheets import Sheets
from simmim.data.index import read_index
from simmim.jobs import Jobs
from simmim.storage.files import draft_of, is_part, make_folder, sync_folder, write_text
from simmim.storage.reading import read_json

SCALE = "own"
IMAGES = "images"  # the data set of a project
NOTE = "project.json"
_SHEETS: dict[str, type[Section]] = {
    "pretrain": PretrainRow,
    "evaluate": EvaluateRow,
    "datasets": DatasetRow,
    "tokenizers": TokenizerRow,
    "paper": PaperRow,
    "tables": TableRow,
    "claims": ClaimRow,
    "drawn_masks": DrawnMaskRow,
}
_ABOUT = {
    "pretrain": "# A row is a pre-training: the recipe, and under `set` what is different, as in mask.ratio=0.4",
    "evaluate": "# A row is an evaluation of a run of pretrain.tsv; its recipe says which task",
    "datasets": "# $data is the data_root of config.yaml",
}
Rows = Mapping[str, Sequence[Mapping[str, str]]]


@dataclass(frozen=True)
class Draft:
    """What a project is to be made of.

    Args:
        root: what `$data` stands for.
        rows: of the sheets that have any.
        recipes: by name.
        roles: of the scale, to data sets.
        note: what else tells this project from another, as JSON.
    """

    root: Path
    rows: Rows
    recipes: Mapping[str, Mapping[str, Any]]
    roles: Mapping[str, str]
    note: Mapping[str, Any]

    def files(self) -> dict[str, str]:
        """Path below `config/` to its text."""
        found = {"config.yaml": _yaml({"scale": SCALE, "data_root": str(self.root), "large": []})}
        found |= {f"{name}.tsv": _sheet(name, self.rows.get(name, ())) for name in _SHEETS}
        found |= {f"recipes/{name}.yaml": _yaml(recipe) for name, recipe in self.recipes.items()}
        return found | {f"scales/{SCALE}.yaml": _yaml({"datasets": dict(self.roles)})}

    def write(self, folder: Path) -> Project:
        """Write the project; what else lies in the folder stays.

        The note is drafted first and gets its name last: a folder with its draft was not written to the end.
        """
        draft = draft_of(folder / NOTE)
        write_text(draft, json.dumps(self.note, indent=1) + "\n")
        for name, text in self.files().items():
            make_folder((folder / "config" / name).parent)
            write_text(folder / "config" / name, text)
        draft.replace(folder / NOTE)
        sync_folder(folder)
        return Project(folder)


@dataclass(frozen=True)
class Project:
    """A run folder."""

    folder: Path

    @cached_property
    def jobs(self) -> Jobs:
        """Its jobs, as the workflow has them."""
        read_yaml.cache_clear()  # a file of the same name may have been written anew
        return Jobs(Sheets(self.folder / "config"), str(self.folder / "results"))

    def images(self, config: Any) -> tuple[int, int]:
        """How many images a job learns from and how many it is scored on; what packing has left out does not count."""
        folders = self.jobs.data_folders(config)
        return read_index(folders["train"])["samples"], read_index(folders["val"])["samples"]

    @property
    def note(self) -> dict[str, Any]:
        """What `Draft.note` was."""
        return read_json(self.folder / NOTE, "the note of a run folder", "remove the folder to start anew")


def there_is(folder: Path) -> bool:
    """Whether a folder is a project; one whose writing was interrupted is none yet, and may be written again.

    Raises:
        ValueError: for a file, and for a folder that holds something else.
    """
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file; name a folder that is not there yet")
    if (folder / NOTE).is_file():
        return True
    if folder.is_dir() and not draft_of(folder / NOTE).is_file() and not all(map(is_part, folder.iterdir())):
        raise ValueError(f"{folder} holds other files; name a folder that is empty or not there yet")
    return False


@contextmanager
def scratch(draft: Draft, out: Path) -> Iterator[Project]:
    """A project in a temporary folder, to look at before anything is written; messages name the folder it is for."""
    with tempfile.TemporaryDirectory(prefix="simmim-") as folder:
        try:
            yield draft.write(Path(folder))
        except ValueError as error:
            raise ValueError(str(error).replace(folder, str(out))) from None


def run_name(out: Path) -> str:
    """The name of the row of a run folder, made of the folder's."""
    return re.sub(r"[^A-Za-z0-9_]+", "_", out.name).strip("_") or "mine"


def _sheet(name: str, rows: Sequence[Mapping[str, str]]) -> str:
    columns = list(_SHEETS[name].model_fields)
    lines = ["\t".join(row.get(column, "") for column in columns).rstrip() for row in rows]
    about = [_ABOUT[name]] if name in _ABOUT else []
    return "\n".join([*about, "\t".join(columns), *lines]) + "\n"


def _yaml(values: Mapping[str, Any]) -> str:
    return yaml.safe_dump(_plain(values), sort_keys=False, default_flow_style=None, width=120, allow_unicode=True)


def _plain(value: Any) -> Any:
    """Lists for tuples, as YAML has them."""
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value
