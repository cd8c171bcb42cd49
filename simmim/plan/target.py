"""What a target is made from: result files that it needs, and rows it cannot have at its scale (torch-free)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from simmim.config.resolve import DoesNotFit
from simmim.config.sheets import Sheets
from simmim.plugin import check_choice
from simmim.report import catalogue
from simmim.report.scale_facts import WITHOUT_ROW, ResultFile

EVERYTHING = "everything"
_FILES = "tables/NAME.md", "figures/NAME.png", "pretrain/RUN/seed0/FILE", "evaluate/RUN/EVALUATION.parquet"


class Needed(NamedTuple):
    """Result files, and 'run' or 'run/evaluation' to the reason why it cannot be at this scale."""

    needs: list[ResultFile]
    misfits: dict[str, str]


def scale_of(target: str, results: Path) -> str | None:
    """The scale whose folder a result path lies in, None for a name."""
    inside = Path(target).parts[len(results.parts) :]
    return inside[0] if Path(target).is_relative_to(results) and inside else None


def needed(target: str, sheets: Sheets, scale: str, results: Path) -> Needed:
    """What a target needs.

    Args:
        target: name of a table or figure, a file below `results/{scale}`, or 'everything'.
        results: folder of all scales.

    Raises:
        ValueError: for an unknown target, with the nearest valid one.
    """
    if scale_of(target, results):
        return _of_file(Path(target).relative_to(results / scale).as_posix(), sheets, scale)
    return _of_name(target, sheets, scale)


def _of_file(file: str, sheets: Sheets, scale: str) -> Needed:
    if found := re.fullmatch(r"evaluate/(\w+)/(\w+)\.parquet", file):
        return _of_row(ResultFile("evaluate", found[1], found[2]), sheets, scale)
    if found := re.fullmatch(r"pretrain/(\w+)/seed\d+/.+", file):
        return _of_row(ResultFile("pretrain", found[1]), sheets, scale)
    if found := re.fullmatch(r"(?:tables|figures)/(\w+)\.\w+", file):
        return _of_name(found[1], sheets, scale)
    if file == "report.html":
        return _of_name(EVERYTHING, sheets, scale)
    raise ValueError(f"'{file}' is no result of a training (allowed: {', '.join(_FILES)}, report.html)")


def _of_row(need: ResultFile, sheets: Sheets, scale: str) -> Needed:
    try:
        if need.kind == "evaluate":
            sheets.evaluation(scale, need.run, need.evaluation)
        else:
            sheets.pretraining(scale, need.run)
    except DoesNotFit as reason:
        return Needed([], {"/".join(filter(None, need[1:])): str(reason)})
    return Needed([need], {})


def _of_name(target: str, sheets: Sheets, scale: str) -> Needed:
    tables, figures = catalogue.tables(sheets, scale), catalogue.figures(sheets, scale)
    check_choice("target", target, {EVERYTHING, *tables, *figures})
    needs: list[ResultFile] = []
    for name in tables:
        needs += catalogue.table_needs(name, sheets, scale) if target in (name, EVERYTHING) else []
    for name in figures:
        needs += catalogue.figure_needs(name, sheets, scale) if target in (name, EVERYTHING) else []
    return Needed(list(dict.fromkeys(needs)), _misfits(target, sheets, scale))


def _misfits(target: str, sheets: Sheets, scale: str) -> dict[str, str]:
    """Rows of a paper's table that cannot be, or all such rows; a run that cannot be stands for its evaluations."""
    found = {name: str(misfit) for name, misfit in catalogue.facts(sheets, scale).misfits.items()}
    runs, rows = sheets.runs(scale), sheets.evaluations(scale)
    cells = [cell for (table, _, _), cell in sheets.paper.items() if table == target]
    cells = [(cell["run"], name) for cell in cells for name in cell["evaluation"].split()]  # a cell may stand alone
    for run, evaluation in cells:
        if run not in runs:
            found.setdefault(run, "not among the runs of this scale")
        elif (run, evaluation) not in rows and evaluation not in WITHOUT_ROW:
            found.setdefault(f"{run}/{evaluation}", "not among the evaluations of this scale")
    asked = {name for cell in cells for name in (cell[0], "/".join(cell))} if cells else set(found)
    return {
        name: reason
        for name, reason in found.items()
        if name in asked and ("/" not in name or name.partition("/")[0] not in found)
    }
