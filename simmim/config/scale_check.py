"""What a scale says about rows, roles and components must exist."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from pydantic import BaseModel

from simmim import plugin
from simmim.config.component_settings import settings_of
from simmim.config.errors import located_at, section_of
from simmim.config.evaluation import settings_of_task
from simmim.config.folder import ConfigFolder
from simmim.config.models import PRETRAIN_KINDS, PretrainSettings, TokenizerSettings
from simmim.config.reading import parse_set
from simmim.config.recipe_check import check_sections
from simmim.config.scale import EXTRA, ScaleConfig
from simmim.plugin import check_choice


def check_scale_file(sheets: ConfigFolder, name: str) -> None:
    """Refuse a scale that names a role, run, evaluation, component or setting that there is not.

    Raises:
        ValueError: with the file, the value and the nearest valid choice.
    """
    scale = sheets.scale(name)
    roles = _roles(sheets)
    with located_at(f"{sheets.folder}/scales/{name}.yaml"):
        _check_rows(sheets, scale, roles)
        for section in ("encoder", "head", "method"):
            kind = PRETRAIN_KINDS[section]
            for component, settings in scale.widths[section].items():
                check_choice(f"{kind} name", component, plugin.names(kind))
                _check_keys(f"{kind}.{component}", settings, settings_of(kind, component))
        check_partial("pretrain", scale.pretrain, PretrainSettings)
        check_sections(scale.pretrain, "pretrain", "pretrain.")
        for key, change in scale.evaluate.items():
            check_choice(
                "task or recipe under 'evaluate'", key, {*plugin.names("evaluate"), *sheets.recipes("evaluate")}
            )
            check_partial(f"evaluate.{key}", change, _model_of(sheets, key))
            check_sections(change, "evaluate", f"evaluate.{key}.")
        for tokenizer, change in scale.tokenizers.items():
            check_choice("tokenizer", tokenizer, [name for (name,) in sheets.tokenizers])
            check_partial(f"tokenizers.{tokenizer}", change, TokenizerSettings)
            _check_keys(
                f"tokenizers.{tokenizer}.kind",
                change.get("kind", {}),
                settings_of("tokenizers", sheets.tokenizers[(tokenizer,)].kind),
            )


def _check_rows(sheets: ConfigFolder, scale: ScaleConfig, roles: Collection[str]) -> None:
    datasets = {name for name, _ in sheets.datasets}
    for role, names in scale.datasets.items():
        check_choice("data role", role, roles | {each + EXTRA for each in roles})
        for dataset in names:
            check_choice(f"data set of role '{role}'", dataset, datasets)
    for key in scale.seeds:
        run, _, evaluation = key.partition("/")
        check_choice("run among 'seeds'", run, sheets.all_runs)
        if evaluation:
            evaluations = {name for each, name in sheets.evaluate if each == run}
            check_choice(f"evaluation of run '{run}' among 'seeds'", evaluation, evaluations)
    for run in [] if scale.runs == "all" else scale.runs:
        check_choice("run among 'runs'", run, sheets.all_runs)
    for evaluation in scale.without:
        check_choice("evaluation among 'without'", evaluation, {name for _, name in sheets.evaluate})


def _roles(sheets: ConfigFolder) -> set[str]:
    """Every role that a recipe or a row asks for."""
    found = {PretrainSettings.model_fields["role"].default}
    found |= {
        sheets.recipe(name, stage).get("role") for stage in ("pretrain", "evaluate") for name in sheets.recipes(stage)
    }
    for sheet, rows in (("pretrain", sheets.pretrain), ("evaluate", sheets.evaluate)):
        for key, row in rows.items():
            with located_at(sheets.place(sheet, *key)):
                found.add(parse_set(row.set).get("role"))
    return {role for role in found if role}


def _model_of(sheets: ConfigFolder, key: str) -> type[BaseModel]:
    """The settings of an evaluation by task or recipe."""
    task = key if key in plugin.names("evaluate") else sheets.recipe(key, "evaluate").get("task", "")
    return settings_of_task(task)


def check_partial(place: str, values: Mapping[str, Any], model: type[BaseModel]) -> None:
    """Refuse keys that a model does not have, section by section; values are checked where they are used."""
    _check_keys(place, values, model.model_fields)
    for key, value in values.items():
        if isinstance(value, Mapping) and (section := section_of(model, key)) and section is not plugin.Component:
            check_partial(f"{place}.{key}", value, section)


def _check_keys(place: str, values: Mapping[str, Any], known: Collection[str]) -> None:
    for key in values:
        check_choice(f"setting of {place}", key, known)
