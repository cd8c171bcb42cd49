"""What a finished job leaves in its `state` folder, should its outputs be lost.

Snakemake deletes the outputs of a job that was interrupted before its end was noted, also where they were whole. Hard
links in `state` cost nothing and bring them back. `simmim clean` removes them, and so does a workflow that succeeds.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from simmim.storage.files import whole_folder
from simmim.storage.identity import code_version
from simmim.storage.sealed_json import read_sealed, write_sealed

_NOTE = "finished.json"


def keep(state: Path, outputs: Iterable[Path]) -> None:
    """Leave nothing in `state` but finished outputs and a note on the code that made them."""
    with whole_folder(state) as draft:
        for output in outputs:
            link(output, draft / output.name)
        write_sealed(draft / _NOTE, {"code_version": code_version()})


def bring_back(state: Path, outputs: Iterable[Path]) -> None:
    """Give lost outputs their files again, if this version of the code made them; otherwise drop them."""
    if not (state / _NOTE).is_file():
        return
    if read_sealed(state / _NOTE)["code_version"] != code_version():
        shutil.rmtree(state)
        return
    for output in outputs:
        if not output.exists() and (state / output.name).exists():
            output.parent.mkdir(parents=True, exist_ok=True)
            link(state / output.name, output)


def link(source: Path, target: Path) -> None:
    """A second name for a file, or for every file of a folder; a copy where the file system has no hard links."""
    if source.is_dir():
        target.mkdir()
        for file in sorted(source.iterdir()):
            link(file, target / file.name)
        return
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def states(folder: Path) -> list[Path]:
    """The `state` folders below a folder whose jobs are finished."""
    return sorted(note.parent for note in folder.rglob(_NOTE))
