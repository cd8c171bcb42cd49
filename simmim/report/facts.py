"""Asks the sheets what the report must know of a scale; the one module of the report that reads configs."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from simmim.config.claims import claim_of
from simmim.config.errors import DoesNotFit, Unavailable
from simmim.config.evaluate_models import EvaluateConfig
from simmim.config.models import JobConfig, PretrainConfig
from simmim.config.rows import DatasetRow, EvaluateRow
from simmim.config.scale import EXTRA
from simmim.plugin import check_choice, names
from simmim.report.scale_facts import AREA_WORDS, Evaluated, MaskName, Misfit, ScaleFacts, is_setting

if TYPE_CHECKING:
    from simmim.config.sheets import Sheets

_MASK_KINDS = {"block": "block-wise"}


@functools.cache
def facts(sheets: Sheets, scale: str) -> ScaleFacts:
    """What the sheets say about a scale; a misspelt name in a display column is refused.

    Raises:
        ValueError: for display columns that contradict each other.
    """
    misfits, configs, evaluations = _fitting(sheets, scale)
    trained = {run: config for run, config in configs.items() if config.is_trained}
    reference = reference_run(sheets)
    labels = _dataset_labels(sheets)
    masks = _masks(sheets, reference, scale)
    lengths = {_but_length(config) for run, config in trained.items() if run == reference}
    fitting = _resolved(masks, sheets.pretraining, scale, misfits)
    fitting_masks = {run: config.geometry.masked_patch_px for run, config in fitting}
    return ScaleFacts(
        scale=scale,
        reference=reference,
        misfits=misfits,
        trained=tuple(trained),
        countable=tuple(run for run in sheets.runs(scale) if _is_countable(misfits.get(run))),
        encoders={run: config.encoder.name for run, config in configs.items()},
        baselines=dict(_baselines(configs, trained)),
        loss_areas={run: config.loss.area for run, config in trained.items() if config.target is not None},
        losses={run: _loss_words(config) for run, config in trained.items()},
        pretrainings={run: config.seeds for run, config in configs.items()},
        masks=masks,
        fitting_masks=fitting_masks,
        lengths={run: config.train.batch for run, config in trained.items() if _but_length(config) in lengths},
        evaluated={key: _evaluated(config) for key, config in evaluations.items()},
        settings=dict(_settings(sheets, scale)),
        codes={run: words for run, config in configs.items() if (words := _codes_words(config))},
        run_labels={run: row.label for (run,), row in sheets.pretrain.items() if row.label},
        evaluation_labels=_evaluation_labels(sheets, evaluations, labels),
        headline_metrics=tuple(dict.fromkeys(" ".join(written_once(sheets.evaluate, "metrics").values()).split())),
        figure_runs=_figure_runs(sheets),
        paper={key: row.model_dump() for key, row in sheets.paper.items()},
        table_titles={table: row.title for (table,), row in sheets.tables.items()},
        table_sections={table: row.section for (table,), row in sheets.tables.items()},
        claims=tuple(claim_of(row, scale) for row in sheets.claims.values()),
        extra_sets=_extra_sets(sheets, scale),
        data_words=" and ".join(labels.get(name, name) for name in sheets.scale(scale).datasets.get("pretrain", ())),
        dataset_labels=labels,
        has_data_card=_has_data_card(sheets, scale),
    )


def reference_run(sheets: Sheets) -> str:
    """The run of pretrain.tsv whose column `reference` says 'yes'.

    Raises:
        ValueError: where it is not exactly one.
    """
    marked = [run for (run,), row in sheets.pretrain.items() if row.reference]
    if len(marked) != 1:
        raise ValueError(f"pretrain.tsv, column 'reference': one run must say 'yes', {len(marked)} do: {marked}")
    return marked[0]


def written_once(rows: Mapping[Any, EvaluateRow | DatasetRow], column: str, sheet: str = "evaluate") -> dict[str, str]:
    """Evaluation, or data set, to what a display column says of it; one row says it for all of the same name.

    Raises:
        ValueError: where two rows say different things.
    """
    kind, other = {"evaluate": ("evaluation", "run"), "datasets": ("dataset", "split")}[sheet]
    found: dict[str, str] = {}
    for row in rows.values():
        name, text = getattr(row, kind), getattr(row, column)
        if text and found.setdefault(name, text) != text:
            said = f"'{found[name]}' and, for {other} '{getattr(row, other)}', '{text}'"
            raise ValueError(f"{sheet}.tsv, {kind} '{name}', column '{column}': {said}; write it once")
    return found


def differing_in_mask(configs: Mapping[str, PretrainConfig], reference: str) -> list[str]:
    """The runs that have everything but their mask in common with the reference run, and it."""
    wanted = [_but_mask(config) for run, config in configs.items() if run == reference]
    return [run for run, config in configs.items() if _but_mask(config) in wanted]


def _fitting(
    sheets: Sheets, scale: str
) -> tuple[dict[str, Misfit], dict[str, PretrainConfig], dict[tuple[str, str], EvaluateConfig]]:
    """Why rows do not fit the scale, and the configs of the pre-trainings and evaluations that do."""
    misfits: dict[str, Misfit] = {}
    configs = dict(_resolved(sheets.runs(scale), sheets.pretraining, scale, misfits))
    return misfits, configs, dict(_resolved(sheets.evaluations(scale), sheets.evaluation, scale, misfits))


def _resolved(keys: Iterable[Any], resolve: Any, scale: str, misfits: dict[str, Misfit]) -> Iterator[tuple]:
    for key in keys:
        parts = (key,) if isinstance(key, str) else key
        try:
            yield key, resolve(scale, *parts)
        except DoesNotFit as misfit:
            misfits["/".join(parts)] = Misfit(misfit.message, misfit.reason)


def _is_countable(misfit: Misfit | None) -> bool:
    """Whether a run's networks can be built: it fits the scale, but for data that is not public."""
    return misfit is None or misfit.what == Unavailable.message


def _baselines(
    configs: Mapping[str, PretrainConfig], trained: Mapping[str, PretrainConfig]
) -> Iterator[tuple[str, str]]:
    """Each trained run with the first untrained run that has its encoder."""
    untrained = {_encoder(config): run for run, config in reversed(configs.items()) if run not in trained}
    for run, config in trained.items():
        if _encoder(config) in untrained:
            yield run, untrained[_encoder(config)]


def _encoder(config: PretrainConfig) -> tuple:
    return config.encoder, config.geometry.image_px


def _dataset_labels(sheets: Sheets) -> dict[str, str]:
    return written_once(sheets.datasets, "label", "datasets")


def _evaluation_labels(
    sheets: Sheets, evaluations: Mapping[tuple[str, str], EvaluateConfig], datasets: Mapping[str, str]
) -> dict[str, str]:
    """What an evaluation is called, and the data that it has at the scale: 'fine-tuning on CIFAR-10'."""
    data = {name: config.data["val"].dataset for (_, name), config in evaluations.items() if "val" in config.data}
    labels = written_once(sheets.evaluate, "label")
    return {
        name: f"{label} on {datasets.get(data[name], data[name])}" if name in data else label
        for name, label in labels.items()
    }


def _evaluated(config: EvaluateConfig) -> Evaluated:
    return Evaluated(config.task, config.role, "extra" in config.data, config.settings.is_score)


def _extra_sets(sheets: Sheets, scale: str) -> tuple[str, ...]:
    """Names of the extra validation sets of a scale."""
    roles = sheets.scale(scale).datasets
    return tuple(name for role, names in roles.items() if role.endswith(EXTRA) for name in names)


def _masks(sheets: Sheets, reference: str, scale: str) -> dict[str, MaskName]:
    """The mask of every run of the masking ablation, in the pixels of the paper, or of a project's only scale."""
    named_at = "paper" if "paper" in sheets.scales() else scale
    configs = dict(_resolved([run for (run,) in sheets.pretrain], sheets.pretraining, named_at, {}))
    return {run: _mask_name(configs[run]) for run in differing_in_mask(configs, reference)}


def _mask_name(config: PretrainConfig) -> MaskName:
    mask, patch_px = config.mask, config.geometry.masked_patch_px
    kind = _MASK_KINDS.get(mask.name, mask.name)
    others = [f"{key} {value}" for key, value in mask.settings.items() if key != "ratio"]
    return MaskName(kind, patch_px, ", ".join([kind, f"{patch_px} px", *others]))


def _but_mask(config: PretrainConfig) -> str:
    return config.model_dump_json(exclude={"run": True, "mask": True, "geometry": {"masked_patch_px"}})


def _but_length(config: PretrainConfig) -> str:
    length = {"epochs", "warmup_epochs"}
    return config.model_dump_json(exclude={"run": True, "train": length})


def _loss_words(config: PretrainConfig) -> str:
    if config.target is None:
        return config.method.name.replace("_", " ")
    return f"{config.loss.name} on {config.target.name}, {AREA_WORDS[config.loss.area]}".replace("_", "-")


def _codes_words(config: PretrainConfig) -> str:
    """Whose codes a run predicts, '' for one that predicts none."""
    if config.tokenizer is None:
        return ""
    return f"codes of {config.tokenizer.name}, {'as published' if config.tokenizer.published_file else 'made here'}"


def _settings(sheets: Sheets, scale: str) -> Iterator[tuple[tuple[str, str, str], str]]:
    """The settings that paper.tsv asks for, as tables print them: also of rows whose data are not public."""
    rows = {(run, "pretrain") for run in sheets.runs(scale)} | {*sheets.evaluations(scale)}
    for cell in sheets.paper.values():
        key = cell.run, cell.evaluation
        if is_setting(cell.metric) and key in rows:
            with contextlib.suppress(DoesNotFit):
                yield (*key, cell.metric), _setting(_config_of(sheets.without_data, scale, *key), cell.metric)


def _config_of(sheets: Sheets, scale: str, run: str, evaluation: str) -> JobConfig:
    return sheets.pretraining(scale, run) if evaluation == "pretrain" else sheets.evaluation(scale, run, evaluation)


def _setting(config: JobConfig, key: str) -> str:
    """The value at a dotted key of a config; '–' where the section has no such setting."""
    section, _, name = key.partition(".")
    value = config.as_json()[section].get(name, "–")
    if name == "image_px" and isinstance(value, list) and len({*value}) == 1:
        return str(value[0])  # the side of a square, as the paper prints it
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _figure_runs(sheets: Sheets) -> dict[str, tuple[str, ...]]:
    """Figure to the runs whose column `figures` names it."""
    known, found = names("report.figures"), {}
    for (run,), row in sheets.pretrain.items():
        for figure in row.figures.split():
            check_choice(f"figure in pretrain.tsv, row '{run}', column 'figures'", figure, known)
            found[figure] = (*found.get(figure, ()), run)
    return found


def _has_data_card(sheets: Sheets, scale: str) -> bool:
    made = {dataset for (dataset, _), row in sheets.datasets.items() if row.made_by == "demo"}
    return any(not made.isdisjoint(names) for names in sheets.scale(scale).datasets.values())
