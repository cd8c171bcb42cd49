"""What a target is made from: result files that it needs, and rows it cannot have at its scale (torch-free)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from simmim.config.errors import DoesNotFit
from simmim.config.references import WITHOUT_ROW
from simmim.config.sheets import Sheets
from simmim.jobs import Job, Jobs
from simmim.plugin import check_choice
from simmim.report import catalogue
from simmim.storage import paths

EVERYTHING = "everything"
_REPORT = "table", "figure", "page"  # kinds of jobs that only print results
_FILES = "tables/NAME.md", "figures/NAME.png", "pretrain/RUN/seed0/FILE", "evaluate/RUN/EVALUATION.parquet"


class Needed(NamedTuple):
    """Result files, and 'run' or 'run/evaluation' to the reason why it cannot be at this scale."""

    files: list[str]
    misfits: dict[str, str]


def scale_of(target: str, jobs: Jobs) -> str | None:
    """The scale whose folder a result path lies in, None for a name."""
    results = Path(jobs.results)
    inside = Path(target).parts[len(results.parts) :]
    return inside[0] if Path(target).is_relative_to(results) and inside else None


def needed(target: str, jobs: Jobs, scale: str) -> Needed:
    """What a target needs.

    Args:
        target: name of a table or figure, a file below the folder of results, or 'everything'.

    Raises:
        ValueError: for an unknown target, with the nearest valid one, and for a file of another scale.
    """
    inside = scale_of(target, jobs)
    if inside is None:
        return _of_name(target, jobs, scale)
    if inside != scale:
        raise ValueError(f"'{target}' is a file of scale '{inside}', not of '{scale}'; leave out --scale")
    return _of_file(Path(target).as_posix(), jobs, scale)


def _of_file(file: str, jobs: Jobs, scale: str) -> Needed:
    kind, wildcards = paths.match(jobs.results, file) or ("", {})
    if kind == "page":
        return _of_name(EVERYTHING, jobs, scale)
    if kind in _REPORT:
        return _of_name(wildcards["name"], jobs, scale)
    try:
        jobs.sheets.checked_scale(scale)
        job = jobs.maker(file)
    except DoesNotFit as reason:
        row = filter(None, (wildcards.get("run"), wildcards.get("evaluation")))
        return Needed([], {"/".join(row): str(reason)})
    if job is None:
        name = Path(file).relative_to(Path(jobs.results) / scale)
        raise ValueError(f"'{name}' is no result of a job (allowed: {', '.join(_FILES)}, report.html)")
    return Needed([file], {})


def _of_name(target: str, jobs: Jobs, scale: str) -> Needed:
    tables, figures = catalogue.tables(jobs.sheets, scale), catalogue.figures(jobs.sheets, scale)
    check_choice("target", target, {EVERYTHING, *tables, *figures})
    if target == EVERYTHING:
        printed = [jobs.job("page", scale=scale)]
    else:
        kinds = [kind for kind, known in (("table", tables), ("figure", figures)) if target in known]
        printed = [jobs.job(kind, scale=scale, name=target) for kind in kinds]
    files = dict.fromkeys(file for job in printed for file in _results(job, jobs))
    return Needed(list(files), _misfits(target, jobs.sheets, scale))


def _results(job: Job, jobs: Jobs) -> Iterator[str]:
    """The files that a table, a figure or a whole page is made from in the end."""
    for file in job.input_files():
        maker = jobs.maker(file)
        if maker is not None and maker.kind in _REPORT:
            yield from _results(maker, jobs)
        else:
            yield file


def _misfits(target: str, sheets: Sheets, scale: str) -> dict[str, str]:
    """Unsupported rows of a paper's table, or all of them; an unsupported run stands for its evaluations."""
    found = {name: str(misfit) for name, misfit in catalogue.facts(sheets, scale).misfits.items()}
    runs, rows = sheets.runs(scale), sheets.evaluations(scale)
    cells = [cell for (table, _, _), cell in sheets.paper.items() if table == target]
    pairs = [(cell.run, name) for cell in cells for name in cell.evaluation.split()]  # a cell may stand alone
    for run, evaluation in pairs:
        if run not in runs:
            found.setdefault(run, "not among the runs of this scale")
        elif (run, evaluation) not in rows and evaluation not in WITHOUT_ROW:
            found.setdefault(f"{run}/{evaluation}", "not among the evaluations of this scale")
    asked = {name for pair in pairs for name in (pair[0], "/".join(pair))} if pairs else set(found)
    return {
        name: reason
        for name, reason in found.items()
        if name in asked and ("/" not in name or name.partition("/")[0] not in found)
    }
