"""Rows that name other rows: what no sheet has is refused as the sheets are read."""

from __future__ import annotations

from collections.abc import Collection

from simmim.config.errors import located_at
from simmim.config.folder import ConfigFolder
from simmim.config.rows import PaperRow
from simmim.plugin import check_choice

# Evaluations that cells of paper.tsv name without a row in evaluate.tsv: the training itself, and its networks.
WITHOUT_ROW = ("pretrain", "size")


def check_references(sheets: ConfigFolder) -> None:
    """Refuse rows of evaluate.tsv, claims.tsv and paper.tsv that name a run or an evaluation that no sheet has.

    Raises:
        ValueError: with the sheet, the row and the nearest valid choice.
    """
    runs = sheets.all_runs
    known = {run: set(WITHOUT_ROW) for run in runs}
    for run, evaluation in sheets.evaluate:
        with located_at(sheets.place("evaluate", run, evaluation)):
            check_choice("run", run, runs)
        known[run].add(evaluation)
    for table, row, column in sheets.paper:
        with located_at(sheets.place("paper", table, row, column)):
            check_choice("table of tables.tsv", table, [name for (name,) in sheets.tables])
    for key, row in sheets.claims.items():
        with located_at(sheets.place("claims", *key)):
            for run in (row.run, row.other):
                check_choice("run", run, runs)
                check_choice(f"evaluation of run '{run}'", row.evaluation, known[run])
    for key, cell in sheets.paper.items():
        with located_at(sheets.place("paper", *key)):
            for run in filter(None, (cell.run, cell.against)):
                check_choice("run", run, runs)
            if cell.run:
                _check_evaluations(cell, known[cell.run])
    for dataset, sample in sheets.drawn_masks:
        with located_at(sheets.place("drawn_masks", dataset, sample)):
            check_choice("dataset", dataset, {name for name, _ in sheets.datasets})


def _check_evaluations(cell: PaperRow, known: Collection[str]) -> None:
    """Refuse evaluations that a published cell's run does not have, and a search among what has no best."""
    evaluations = cell.evaluation.split() or [""]
    for evaluation in evaluations:
        check_choice(f"evaluation of run '{cell.run}'", evaluation, known)
    if len(evaluations) > 1 and ("." in cell.metric or {*WITHOUT_ROW} & {*evaluations}):
        raise ValueError(f"'{cell.evaluation}': only a score can be the best of several evaluations")
