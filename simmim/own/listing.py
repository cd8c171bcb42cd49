"""`simmim list`: the names that a command, a sheet or a row may use."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from simmim import plugin
from simmim.config.sheets import Sheets
from simmim.config.shipped import config_folder
from simmim.own.models import models
from simmim.plugin import check_choice
from simmim.report import catalogue

_FOLDERS = {"tasks": "evaluate", "sources": "data.sources"}  # the others are called as their packages
_COMPONENTS = "encoders", "heads", "masks", "methods", "targets", "tokenizers", "tasks", "sources"
_SCALE = "paper"  # which has every table


def list(kind: str = "") -> tuple[str, ...]:
    """Print the names of a kind: models, recipes, masks, heads, targets, encoders, tasks, tables and others.

    Args:
        kind: such as models; without it the kinds are listed
    """
    check_choice("kind of name", kind, ["", *_KINDS])
    names = (*(_KINDS[kind]() if kind else _KINDS),)
    print(*names, sep="\n")
    return names


def _components(kind: str) -> Callable[[], Iterable[str]]:
    return lambda: plugin.names(_FOLDERS.get(kind, kind))


def _sheets() -> Sheets:
    return Sheets(config_folder())


_KINDS: dict[str, Callable[[], Iterable[str]]] = {
    "models": models,
    "recipes": lambda: [name for stage in ("pretrain", "evaluate") for name in _sheets().recipes(stage)],
    "runs": lambda: _sheets().all_runs,
    "scales": lambda: _sheets().scales(),
    "tables": lambda: catalogue.tables(_sheets(), _SCALE),
    "figures": lambda: catalogue.figures(_sheets(), _SCALE),
    **{kind: _components(kind) for kind in _COMPONENTS},
}
