"""Rows that name other rows: what no sheet has is refused as the sheets are read (torch-free)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from simmim.config.resolve import located_at
from simmim.plugin import check_choice

if TYPE_CHECKING:
    from simmim.config.sheets import Sheets


def check_references(sheets: Sheets) -> None:
    """Refuse rows of evaluate.tsv, claims.tsv and paper.tsv that name a run or an evaluation that no sheet has.

    Raises:
        ValueError: with the sheet, the row and the nearest valid choice.
    """
    runs = [run for (run,) in sheets.pretrain]
    known = {run: {"pretrain", "size"} for run in runs}
    for run, evaluation in sheets.evaluate:
        with located_at(sheets.place("evaluate", run, evaluation)):
            check_choice("run", run, runs)
        known[run].add(evaluation)
    for key, row in sheets.claims.items():
        with located_at(sheets.place("claims", *key)):
            for run in (row["run"], row["other"]):
                check_choice("run", run, runs)
                check_choice(f"evaluation of run '{run}'", row["evaluation"], known[run])
    for key, cell in sheets.paper.items():
        with located_at(sheets.place("paper", *key)):
            for run in filter(None, (cell["run"], cell.get("against"))):
                check_choice("run", run, runs)
            if cell["run"]:
                _check_evaluations(cell, known[cell["run"]])


def _check_evaluations(cell: Mapping[str, str], known: Collection[str]) -> None:
    """Refuse evaluations that a published cell's run does not have, and a search among what has no best."""
    evaluations = cell["evaluation"].split() or [""]
    for evaluation in evaluations:
        check_choice(f"evaluation of run '{cell['run']}'", evaluation, known)
    if len(evaluations) > 1 and ("." in cell["metric"] or {"pretrain", "size"} & {*evaluations}):
        raise ValueError(f"'{cell['evaluation']}': only a score can be the best of several evaluations")
