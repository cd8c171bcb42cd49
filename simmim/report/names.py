"""Which tables and figures a scale has and which results each of them needs (torch-free: the Snakefile asks)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from simmim.config import DoesNotFit, Sheets
from simmim.plugin import check_choice

# The paper varies one thing at a time against this run, so its tables are compared in our numbers with this one too.
REFERENCE_RUN = "default"
OWN_TABLES = ("scratch", "directions", "pretraining", "probe")
FIGURES = ("reconstructions", "scratch", "losses", "probe_blocks")


class Need(NamedTuple):
    """A kind of result file: 'pretrain' (train.parquet), 'reconstruction', 'evaluate' or 'data_card'.

    A pre-training kind stands for the files of every seed of the run.
    """

    kind: str
    run: str = ""
    evaluation: str = ""


@dataclass(frozen=True)
class Facts:
    """What the sheets say about a scale and no result file tells.

    Args:
        misfits: run, or 'run/evaluation', to the reason why it does not fit the scale.
        baselines: pre-trained run to the run with the same encoder and no pre-training.
        loss_areas: pre-trained run, in the order of the sheet, to the area its loss is taken on ('masked', 'full').
    """

    misfits: dict[str, str]
    baselines: dict[str, str]
    loss_areas: dict[str, str]


def facts(sheets: Sheets, scale: str) -> Facts:
    """Ask the sheets everything the report wants to know."""
    misfits, configs = {}, {}
    for run in sheets.runs(scale):
        try:
            configs[run] = sheets.pretraining(scale, run)
        except DoesNotFit as reason:
            misfits[run] = str(reason)
    for run, evaluation in sheets.evaluations(scale):
        try:
            sheets.evaluation(scale, run, evaluation)
        except DoesNotFit as reason:
            misfits[f"{run}/{evaluation}"] = str(reason)
    trained = {run: c for run, c in configs.items() if c["train"]["epochs"] > 0 or c["start"]["encoder"]}
    untrained = {_encoder(config): run for run, config in reversed(configs.items()) if run not in trained}
    baselines = {run: untrained[_encoder(c)] for run, c in trained.items() if _encoder(c) in untrained}
    return Facts(misfits, baselines, {run: config["loss"]["area"] for run, config in trained.items()})


def tables(sheets: Sheets, scale: str) -> list[str]:
    """Names of every table of a scale: ours, then the paper's in the order of paper.tsv."""
    own = [*OWN_TABLES, "data"] if has_data_card(sheets, scale) else list(OWN_TABLES)
    return own + list(dict.fromkeys(table for table, _, _ in sheets.paper))


def figures(sheets: Sheets, scale: str) -> list[str]:
    """Names of every figure that a scale has anything to draw for."""
    return [figure for figure in FIGURES if figure_needs(figure, sheets, scale)]


def has_data_card(sheets: Sheets, scale: str) -> bool:
    """Whether the data of this scale are made by the package itself, which then writes a data card."""
    roles = sheets.scale(scale)["datasets"]
    return any(sheets.dataset(scale, role, "train")["made_by"] == "demo" for role in roles)


def table_needs(table: str, sheets: Sheets, scale: str) -> list[Need]:
    """Result files that a table is made from.

    Raises:
        ValueError: for a table that this scale does not have.
    """
    check_choice("table", table, tables(sheets, scale))
    known = facts(sheets, scale)
    evaluations = _evaluations(sheets, scale, known)
    if table == "scratch":
        return evaluations
    if table == "pretraining":
        return [Need("pretrain", run) for run in known.loss_areas]
    if table == "probe":
        return [n for n in evaluations if sheets.evaluation(scale, n.run, n.evaluation)["task"] == "probe"]
    if table == "data":
        run = shown_run(known.loss_areas)
        runs = (run, known.baselines.get(run))
        ours = [n for n in evaluations if n.run in runs]
        return [Need("data_card")] + [
            n for n in ours if sheets.evaluation(scale, n.run, n.evaluation)["role"] == "classify"
        ]
    cells = [cell for (name, _, _), cell in sheets.paper.items() if table in (name, "directions")]
    trained = {Need("pretrain", run) for run in known.loss_areas}
    wanted = dict.fromkeys(_need(cell["run"], cell["evaluation"]) for cell in cells)
    return [need for need in wanted if need in evaluations or need in trained]


def figure_needs(figure: str, sheets: Sheets, scale: str) -> list[Need]:
    """Result files that a figure is drawn from, none if the scale has no such run; raises as `table_needs`."""
    check_choice("figure", figure, FIGURES)
    known = facts(sheets, scale)
    if figure == "reconstructions":
        return [Need("reconstruction", run) for run in [shown_run(known.loss_areas)] if run]
    if figure == "losses":
        return [Need("pretrain", run) for run in known.loss_areas]
    return table_needs({"probe_blocks": "probe"}.get(figure, figure), sheets, scale)


def shown_run(runs: Iterable[str]) -> str | None:
    """The run that stands for all where there is room for one: the reference run, else the first."""
    runs = list(runs)
    return REFERENCE_RUN if REFERENCE_RUN in runs else next(iter(runs), None)


def _need(run: str, evaluation: str) -> Need:
    return Need("pretrain", run) if evaluation == "pretrain" else Need("evaluate", run, evaluation)


def _evaluations(sheets: Sheets, scale: str, known: Facts) -> list[Need]:
    """Every evaluation that fits the scale."""
    return [
        Need("evaluate", run, evaluation)
        for run, evaluation in sheets.evaluations(scale)
        if f"{run}/{evaluation}" not in known.misfits
    ]


def _encoder(config: dict) -> str:
    return repr((config["encoder"], config["geometry"]["image_px"]))
