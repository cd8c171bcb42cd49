"""The verbs that look at a folder of sheets, for Python: `config` and `results` say where it lies."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from simmim.cli import tools
from simmim.cli._sheets import DEFAULT, jobs_for

_PATHS = "profile", "out"  # in Python they may be text
_Given, _Made = ParamSpec("_Given"), TypeVar("_Made")


def _with_folders(verb: Callable[Concatenate[Any, _Given], _Made]) -> Callable[..., _Made]:
    @wraps(verb)
    def called(*given: Any, config: Path | str = DEFAULT, results: Path | str = "results", **named: Any) -> _Made:
        paths = {name: Path(named[name]).expanduser() for name in _PATHS if named.get(name) is not None}
        return verb(jobs_for(verb, Path(config), Path(results)), *given, **named | paths)

    return called


plan = _with_folders(tools.plan)
verify = _with_folders(tools.verify)
doctor = _with_folders(tools.doctor)
