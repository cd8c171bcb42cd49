"""Rows that name other rows: what no sheet has is refused as the sheets are read."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from simmim.config.claims import claim_of, tolerances
from simmim.config.errors import located_at
from simmim.config.folder import ConfigFolder
from simmim.config.reading import parse_set
from simmim.config.rows import ClaimRow
from simmim.plugin import check_choice

# Evaluations that cells of paper.tsv name without a row in evaluate.tsv: the training itself, and its networks.
WITHOUT_ROW = ("pretrain", "size")
# What a claim can compare of the training itself.
OF_PRETRAINING = ("loss", "validation_loss", "relative_cost", "avg_dist")


def check_references(sheets: ConfigFolder) -> None:
    """Refuse what names a run, an evaluation, a scale, a table, a tokenizer or a data set that there is not.

    Raises:
        ValueError: with the sheet, the row and the nearest valid choice.
    """
    _check_scales(sheets)
    with located_at(f"{sheets.folder / 'config.yaml'}, large"):
        for run in sheets.config_file.large:
            check_choice("run", run, sheets.all_runs)
    known = {run: set(WITHOUT_ROW) for run in sheets.all_runs}
    for run, evaluation in sheets.evaluate:
        with located_at(sheets.place("evaluate", run, evaluation)):
            check_choice("run", run, known)
        known[run].add(evaluation)
    for table, row, column in sheets.paper:
        with located_at(sheets.place("paper", table, row, column)):
            check_choice("table of tables.tsv", table, [name for (name,) in sheets.tables])
    for key, row in sheets.claims.items():
        with located_at(sheets.place("claims", *key)):
            _check_claim(sheets, row, known)
    for key, cell in sheets.paper.items():
        with located_at(sheets.place("paper", *key)):
            for run in filter(None, (cell.run, cell.against)):
                check_choice("run", run, known)
            if cell.run:
                _check_evaluations(cell.run, cell.evaluation, cell.metric, known)
    for (name,), row in sheets.tokenizers.items():
        with located_at(sheets.place("tokenizers", name)):
            if row.instead_of:
                check_choice(
                    "tokenizer in column 'instead_of'", row.instead_of, [name for (name,) in sheets.tokenizers]
                )
                if "file" not in parse_set(row.set):
                    raise ValueError("only published weights, which have a 'file', can stand instead of others")
    for dataset, sample in sheets.drawn_masks:
        with located_at(sheets.place("drawn_masks", dataset, sample)):
            check_choice("dataset", dataset, {name for name, _ in sheets.datasets})


def _check_scales(sheets: ConfigFolder) -> None:
    """Refuse a scale in column `scales` that there is not."""
    for sheet, rows in (("pretrain", sheets.pretrain), ("evaluate", sheets.evaluate)):
        for key, row in rows.items():
            with located_at(sheets.place(sheet, *key)):
                for scale in row.scales.split():
                    check_choice("scale in column 'scales'", scale, sheets.scales())


def _check_claim(sheets: ConfigFolder, row: ClaimRow, known: Mapping[str, Collection[str]]) -> None:
    """Refuse a claim about a run, an evaluation, a metric or a scale that there is not."""
    check_choice("metric", row.metric, _metrics(sheets, row.evaluation.split()))
    for scale in filter(None, tolerances(row.tolerance)):
        check_choice("scale in column 'tolerance'", scale, sheets.scales())
    for score in claim_of(row, "").scores():
        check_choice("run", score.run, known)
        _check_evaluations(score.run, score.evaluation, row.metric, known)


def _metrics(sheets: ConfigFolder, evaluations: Collection[str]) -> set[str]:
    """What evaluations are compared by; where their rows do not say, whatever any row says."""
    if "pretrain" in evaluations:
        return {*OF_PRETRAINING}
    said = [(name, metric) for (_, name), row in sheets.evaluate.items() for metric in row.metrics.split()]
    return {metric for name, metric in said if name in evaluations} or {metric for _, metric in said}


def _check_evaluations(run: str, evaluations: str, metric: str, known: Mapping[str, Collection[str]]) -> None:
    """Refuse evaluations that a run does not have, and a search among what has no best."""
    names = evaluations.split() or [""]
    for evaluation in names:
        check_choice(f"evaluation of run '{run}'", evaluation, known[run])
    if len(names) > 1 and ("." in metric or {*WITHOUT_ROW} & {*names}):
        raise ValueError(f"'{evaluations}': only a score can be the best of several evaluations")
