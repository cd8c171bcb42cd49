"""What a finished job leaves in its `state` folder, should its outputs be lost.

Snakemake deletes the outputs of a job that was interrupted before its end was noted, also where they were whole. Hard
links in `state` cost nothing and bring them back. `simmim clean` removes them, and so does a workflow that succeeds,
those of its own jobs.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from simmim.storage.files import make_folder, remove, sha256_file, sync_folder, whole_file, whole_folder
from simmim.storage.identity import Identity, code_digest
from simmim.storage.sealed_json import read_sealed, write_sealed

_NOTE = "finished.json"


def keep(state: Path, outputs: Iterable[Path], identity: Identity) -> None:
    """Leave nothing in `state` but finished outputs and a note on them, their identity and the code that made them.

    Checkpoints go when the note is there to stay: at any moment a job can go on from them, or has its outputs.
    """
    kept = {output.name: output for output in outputs}
    make_folder(state)
    remove(state / _NOTE)
    for name, output in kept.items():
        if output.parent != state:
            link(output, state / name)
    digests = {name: _digests(state / name) for name in kept}
    write_sealed(state / _NOTE, _made_by(identity) | {"sha256": digests})
    for path in state.iterdir():
        if path.name not in {_NOTE, *kept}:
            remove(path)


def bring_back(state: Path, outputs: Iterable[Path], identity: Identity) -> None:
    """Give lost outputs their files again, if they belong to this and this code made them; otherwise drop them."""
    if not (state / _NOTE).is_file():
        return
    note = read_sealed(state / _NOTE)
    digests = note["sha256"]
    made_by = _made_by(identity)
    if {key: note.get(key) for key in made_by} != made_by:  # earlier versions noted neither, and are other code
        shutil.rmtree(state)
        return
    kept = [output for output in outputs if (state / output.name).exists()]
    lost = [output for output in kept if _is_lost(output, digests[output.name])]
    if damaged := [output.name for output in lost if _digests(state / output.name) != digests[output.name]]:
        print(f"{state / damaged[0]} is damaged; it is made again", flush=True)
        shutil.rmtree(state)
        return
    for output in lost:
        make_folder(output.parent)
        link(state / output.name, output)


def link(source: Path, target: Path) -> None:
    """A second name for a file, or for every file of a folder; a copy where the file system has no hard links.

    It replaces a file of that name, and is there to stay.
    """
    if source.is_dir():
        with whole_folder(target) as draft:
            for file in sorted(source.iterdir()):
                link(file, draft / file.name)
        return
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        with whole_file(target) as copy:
            shutil.copy2(source, copy)
    sync_folder(target.parent)


def _made_by(identity: Identity) -> dict[str, Any]:
    return {"code_digest": code_digest(), "identity": identity.as_json()}


def _is_lost(output: Path, digests: Any) -> bool:
    """Whether it is not there, of a folder any file: Snakemake deletes only those that it knows."""
    files = [output / name for name in digests] if isinstance(digests, dict) else [output]
    return not all(file.exists() for file in files)


def _digests(path: Path) -> Any:
    """Of a file, or by name of what is in a folder."""
    return {each.name: _digests(each) for each in path.iterdir()} if path.is_dir() else sha256_file(path)


def states(folder: Path, outputs: Iterable[Path] = ()) -> list[Path]:
    """The `state` folders below a folder whose jobs are finished: all, or those of the jobs that made some outputs."""
    by_name: set[Path] = set()  # of evaluations, which keep their seeds one by one
    near: dict[Path, list[Path]] = {}  # there may be thousands of states and of outputs
    for output in outputs:
        by_name.add(output.with_suffix(".state"))
        for place in (output.parent, output.parent.parent):
            near.setdefault(place, []).append(output)
    found = sorted(note.parent for note in folder.rglob(_NOTE))
    return [state for state in found if not near or state in by_name or _has_made(state, near)]


def _has_made(state: Path, near: Mapping[Path, Sequence[Path]]) -> bool:
    """Whether a job has made any of the outputs that lie beside its state, or in a folder there."""
    if not (outputs := near.get(state.parent)):
        return False
    kept = read_sealed(state / _NOTE)["sha256"]
    return any(output.name in kept or output.name in kept.get(output.parent.name, ()) for output in outputs)
