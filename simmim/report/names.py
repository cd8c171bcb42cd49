"""Which tables and figures a scale has and which results each of them needs (torch-free: the Snakefile asks)."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from simmim.config.errors import DoesNotFit, Unavailable
from simmim.config.models import JobConfig, PretrainConfig
from simmim.config.rows import ClaimRow, PaperRow
from simmim.config.scale import EXTRA
from simmim.config.sheets import Sheets
from simmim.plugin import check_choice
from simmim.report.measurements import HEADLINE_METRICS

# The paper varies one thing at a time against this run, so its tables are compared in our numbers with this one too.
REFERENCE_RUN = "default"
OWN_TABLES = ("claims", "scratch", "directions", "pretraining", "probe")
# The runs whose stored images a figure of the paper shows.
RECOVERIES = {
    "figure1": (REFERENCE_RUN,),
    "figure4": (REFERENCE_RUN,),
    "figure5": (REFERENCE_RUN, "loss_full"),
    "figure6": ("mask_r4_r60", "mask_r8_r60", "mask_r16_r60", REFERENCE_RUN, "mask_r64_r60"),
}
FIGURES = (*(f"figure{number}" for number in range(1, 8)), "reconstructions", "scratch", "losses", "probe_blocks")


class Need(NamedTuple):
    """A kind of result file: 'pretrain' (train.parquet), 'reconstruction', 'evaluate', 'size', 'data_card' and, one for
    all runs, 'avg_dist' or 'mask_samples'.

    A pre-training kind stands for the files of every seed of the run.
    """

    kind: str
    run: str = ""
    evaluation: str = ""


@dataclass(frozen=True)
class Facts:
    """What the sheets say about a scale and no result file tells.

    Args:
        misfits: run, or 'run/evaluation', to the words why the scale cannot have it, as tables print them.
        baselines: pre-trained run to the run with the same encoder and no pre-training.
        loss_areas: pre-trained run, in the order of the sheet, to the area its loss is taken on ('masked', 'full').
        losses: pre-trained run to what its loss is: 'l1 on pixels, masked area'. Only the same losses can be compared.
        claims: rows of claims.tsv.
        masks: pre-trained run that differs from the reference run in its mask alone, or is it, to what masks it in the
            paper's pixels: 'random, 32 px'.
        settings: (run, evaluation, key) to the value of a setting that paper.tsv asks for.
        trained_once: pre-trained runs with a single seed: the seeds of their evaluations all start from it.
    """

    misfits: dict[str, str]
    baselines: dict[str, str]
    loss_areas: dict[str, str]
    losses: dict[str, str] = field(default_factory=dict)
    claims: tuple[ClaimRow, ...] = ()
    masks: dict[str, str] = field(default_factory=dict)
    settings: dict[tuple[str, str, str], str] = field(default_factory=dict)
    trained_once: tuple[str, ...] = ()


def is_setting(cell: PaperRow) -> bool:
    """Whether a published cell is a setting of a config, not a measured number: its metric has a dot."""
    return "." in cell.metric


@functools.cache
def facts(sheets: Sheets, scale: str) -> Facts:
    """Ask the sheets everything the report wants to know."""
    misfits, configs, evaluated = {}, {}, {}
    for run in sheets.runs(scale):
        try:
            configs[run] = sheets.pretraining(scale, run)
        except DoesNotFit as misfit:
            misfits[run] = f"{misfit.message}: {misfit.reason}"
    for run, evaluation in sheets.evaluations(scale):
        try:
            evaluated[run, evaluation] = sheets.evaluation(scale, run, evaluation)
        except DoesNotFit as misfit:
            misfits[f"{run}/{evaluation}"] = f"{misfit.message}: {misfit.reason}"
    trained = {run: c for run, c in configs.items() if c.is_trained}
    untrained = {_encoder(config): run for run, config in reversed(configs.items()) if run not in trained}
    baselines = {run: untrained[_encoder(c)] for run, c in trained.items() if _encoder(c) in untrained}
    areas = {run: config.loss.area for run, config in trained.items()}
    everything = {(run, "pretrain"): config for run, config in configs.items()} | evaluated
    wanted = [(cell.run, cell.evaluation, cell.metric) for cell in sheets.paper.values() if is_setting(cell)]
    settings = {key: _setting(everything[key[:2]], key[2]) for key in wanted if key[:2] in everything}
    masks = {run: _mask_words(sheets.pretraining("paper", run)) for run in but_for_the_mask(trained)}
    losses = {run: _loss_words(config) for run, config in trained.items()}
    once = tuple(run for run, config in trained.items() if config.seeds == 1)
    return Facts(misfits, baselines, areas, losses, tuple(sheets.claims.values()), masks, settings, once)


def but_for_the_mask(configs: Mapping[str, PretrainConfig]) -> list[str]:
    """The runs that have everything but their mask in common with the reference run, and it."""
    wanted = [_but_mask(config) for run, config in configs.items() if run == REFERENCE_RUN]
    return [run for run, config in configs.items() if _but_mask(config) in wanted]


def tables(sheets: Sheets, scale: str) -> list[str]:
    """Names of every table of a scale: ours, then the paper's in the order of paper.tsv."""
    own = [*OWN_TABLES, "further"] if has_further_set(sheets, scale) else list(OWN_TABLES)
    own += ["data"] if has_data_card(sheets, scale) else []
    return own + list(dict.fromkeys(table for table, _, _ in sheets.paper))


def shown_tables(sheets: Sheets, scale: str) -> list[str]:
    """Tables that the report page of a scale shows: ours, and the paper's of which the scale runs anything."""
    return [name for name in tables(sheets, scale) if name in OWN_TABLES or table_needs(name, sheets, scale)]


def figures(sheets: Sheets, scale: str) -> list[str]:
    """Names of every figure that a scale has anything to draw for."""
    return [figure for figure in FIGURES if figure_needs(figure, sheets, scale)]


def has_data_card(sheets: Sheets, scale: str) -> bool:
    """Whether the data of this scale are made by the package itself, which then writes a data card."""
    made = {dataset for (dataset, _), row in sheets.datasets.items() if row.made_by == "demo"}
    return not made.isdisjoint(sheets.scale(scale).datasets.values())


def has_further_set(sheets: Sheets, scale: str) -> bool:
    """Whether fine-tunings of this scale are scored on another set, too."""
    return any(role.endswith(EXTRA) for role in sheets.scale(scale).datasets)


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
    if table == "claims":
        pairs = [(getattr(row, which), row.evaluation) for row in sheets.claims.values() for which in ("run", "other")]
        return [need for need in dict.fromkeys(Need("evaluate", *pair) for pair in pairs) if need in evaluations]
    if table == "pretraining":
        return [Need("pretrain", run) for run in known.loss_areas]
    if table == "probe":
        return [n for n in evaluations if sheets.evaluation(scale, n.run, n.evaluation).task == "linear_probe"]
    if table == "further":
        return [n for n in evaluations if "extra" in sheets.evaluation(scale, n.run, n.evaluation).data]
    if table == "data":
        run = shown_run(known.loss_areas)
        runs = (run, known.baselines.get(run))
        ours = [n for n in evaluations if n.run in runs]
        return [Need("data_card")] + [
            n for n in ours if sheets.evaluation(scale, n.run, n.evaluation).role == "classify"
        ]
    cells = [cell for (name, _, _), cell in sheets.paper.items() if table in (name, "directions")]
    if table == "directions":
        cells = [cell for cell in cells if cell.metric in HEADLINE_METRICS]
    possible = {Need("pretrain", run) for run in known.loss_areas} | set(evaluations)
    possible |= {Need("size", run) for run in sheets.runs(scale) if _is_counted(run, known)}
    possible |= {Need("avg_dist")} if known.masks else set()
    wanted = dict.fromkeys(need for cell in cells for need in _cell_needs(cell))
    return [need for need in wanted if need in possible]


def figure_needs(figure: str, sheets: Sheets, scale: str) -> list[Need]:
    """Result files that a figure is drawn from, none if the scale has no such run; raises as `table_needs`."""
    check_choice("figure", figure, FIGURES)
    known = facts(sheets, scale)
    if figure in RECOVERIES:
        shown = [Need("reconstruction", run) for run in RECOVERIES[figure] if run in known.loss_areas]
        return shown if REFERENCE_RUN in known.loss_areas else []
    if figure == "reconstructions":
        return [Need("reconstruction", run) for run in [shown_run(known.loss_areas)] if run]
    if figure == "losses":
        return [Need("pretrain", run) for run in known.loss_areas]
    if figure == "figure2":
        return [Need("mask_samples")] if REFERENCE_RUN in known.masks else []
    if figure in ("figure3", "figure7"):
        return _avg_dist_needs(figure, sheets, scale, known)
    return table_needs({"probe_blocks": "probe"}.get(figure, figure), sheets, scale)


def shown_run(runs: Iterable[str]) -> str | None:
    """The run that stands for all where there is room for one: the reference run, else the first."""
    runs = list(runs)
    return REFERENCE_RUN if REFERENCE_RUN in runs else next(iter(runs), None)


def _cell_needs(cell: PaperRow) -> list[Need]:
    """What a published cell needs: nothing, its evaluations, or the files of its run and of the one it is against."""
    run, evaluation = cell.run, cell.evaluation
    if not run or is_setting(cell):
        return []
    if cell.metric == "avg_dist":
        return [Need("avg_dist")]
    if evaluation in ("pretrain", "size"):
        return [Need(evaluation, each) for each in (run, cell.against) if each]
    return [Need("evaluate", run, name) for name in evaluation.split()]


def _is_counted(run: str, known: Facts) -> bool:
    """Whether a run's networks can be built: it fits the scale, but for data that nobody can get."""
    return run not in known.misfits or known.misfits[run].startswith(Unavailable.message)


def _setting(config: JobConfig, key: str) -> str:
    """The value at a dotted key of a config as tables print it; '–' where the section has no such setting."""
    section, _, name = key.partition(".")
    value = config.as_json()[section].get(name, "–")
    if isinstance(value, list) and len({*value}) == 1 and name == "image_px":
        value = value[0]
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _avg_dist_needs(figure: str, sheets: Sheets, scale: str, known: Facts) -> list[Need]:
    """AvgDist of every run, and the evaluations that the figure sets against it, of runs that differ in their mask."""
    shown = {"figure3": "table1", "figure7": "figure7"}[figure]
    cells = [cell for (table, _, _), cell in sheets.paper.items() if table == shown]
    evaluations = {name for cell in cells for name in cell.evaluation.split()}
    found = _evaluations(sheets, scale, known)
    found = [need for need in found if need.run in known.masks and need.evaluation in evaluations]
    return [Need("avg_dist"), *found] if known.masks and evaluations else []


def _but_mask(config: PretrainConfig) -> str:
    """Everything but what tells runs of different masks apart, as text."""
    return config.model_dump_json(exclude={"run": True, "seeds": True, "mask": True, "geometry": {"masked_patch_px"}})


def _loss_words(config: PretrainConfig) -> str:
    """What the loss of a run is, in words."""
    if config.target is None:
        return config.method.name.replace("_", " ")
    area = {"masked": "masked area", "full": "full image"}[config.loss.area]
    return f"{config['loss']['name']} on {config['target']['name']}, {area}".replace("_", "-")


def _mask_words(config: PretrainConfig) -> str:
    """What masks a run, in the pixels of its config."""
    mask = config.mask
    words = [{"block": "block-wise"}.get(mask.name, mask.name), f"{config.geometry.masked_patch_px} px"]
    return ", ".join(words + [f"{key} {value}" for key, value in mask.settings.items() if key != "ratio"])


def _evaluations(sheets: Sheets, scale: str, known: Facts) -> list[Need]:
    """Every evaluation that fits the scale."""
    return [
        Need("evaluate", run, evaluation)
        for run, evaluation in sheets.evaluations(scale)
        if f"{run}/{evaluation}" not in known.misfits
    ]


def _encoder(config: PretrainConfig) -> tuple:
    return config.encoder, config.geometry.image_px
