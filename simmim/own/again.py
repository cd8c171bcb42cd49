"""The same call once more: go on, leave alone what is finished, or say what is different from the first time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from simmim.config.differences import differing_fields
from simmim.data.found import Found
from simmim.own.project import SCALE, Draft, Project, scratch, there_is
from simmim.own.result import Result, finished

_NOT_IN_CONFIGS = "data", "encoder", "seed"


def reopened(out: Path, verb: str, request: Mapping[str, Any], draft: Callable[[], Draft]) -> Project | None:
    """The project of an earlier call with the same request, None where there is none.

    Args:
        draft: what this call would write, looked at only if the requests differ in words.

    Raises:
        ValueError: for a folder of another verb, of other settings, or of something else.
    """
    if not there_is(out):
        return None
    project = Project(out)
    note = project.note
    if note["verb"] != verb:
        raise ValueError(f"{out} is a run folder of `simmim {note['verb']}`; name another one")
    if note["request"] != request and (changed := _changed(project, request, draft)):
        raise ValueError(f"{out} was begun otherwise; name another folder, or undo: {'; '.join(changed)}")
    return project


def refuse_changed_images(project: Project, look: Callable[[str], Found]) -> None:
    """Refuse to go on with other images than those that the project was begun with."""
    data = project.note["request"]["data"]
    found = look(data)
    if project.note["source_sha256"] != found.source(found.train).fingerprint():
        raise ValueError(f"the images of {data} have changed since {project.folder} was begun; name another folder")


def done_before(project: Project) -> Result | None:
    """What a finished run has left, said in a line."""
    if (done := finished(project.folder)) is not None:
        print(f"{project.folder} is finished, nothing to do; {project.folder / 'README.md'} says what it is")
    return done


def _changed(project: Project, request: Mapping[str, Any], draft: Callable[[], Draft]) -> list[str]:
    """One entry for each setting that is not what it was."""
    before = project.note["request"]
    pairs = [{key: each[key] for key in _NOT_IN_CONFIGS if key in each} for each in (before, request)]
    if changed := differing_fields(*pairs):
        return changed
    with scratch(draft(), project.folder) as now:
        return differing_fields(_config(project), _config(now))


def _config(project: Project) -> dict[str, Any]:
    sheets, note = project.jobs.sheets, project.note
    found = sheets.pretraining(SCALE, note["run"]).as_json()
    if evaluation := note.get("evaluation"):
        found |= {"evaluation": sheets.evaluation(SCALE, note["run"], evaluation).as_json()}
    return found
