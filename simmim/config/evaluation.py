"""From a row of evaluate.tsv to the config of an evaluation."""

from __future__ import annotations

import functools
from collections.abc import Collection
from typing import Any

from pydantic import create_model

from simmim import NUMERICS, plugin
from simmim.config.component_settings import checked
from simmim.config.datasets import check_channels, role_data
from simmim.config.errors import DoesNotFit, check_no_circle, validated
from simmim.config.evaluate_models import PRETRAINED, EvaluateConfig, EvaluateSettings, FeaturesConfig, FineTunedInit
from simmim.config.folder import ConfigFolder
from simmim.config.models import PretrainConfig
from simmim.config.pretraining import defaults
from simmim.config.reading import parse_set
from simmim.config.scale import EXTRA, ScaleConfig
from simmim.config.values import apply, merged, to_scale, typed
from simmim.plugin import check_choice

FEATURE_SPLITS = ("train", "val")


@functools.cache
def evaluation_settings(
    sheets: ConfigFolder, scale: str, recipe_name: str, changes: str, encoder: str
) -> EvaluateSettings:
    """What recipe, row and scale say about an evaluation, made once for all runs that share it.

    Args:
        recipe_name, changes: columns `recipe` and `set` of its row.
        encoder: name of the run's encoder.

    Raises:
        ValueError: for anything unknown or impossible in the row, naming value and nearest choice.
        DoesNotFit: when the row cannot exist at this scale.
    """
    recipe, here = sheets.recipe(recipe_name, "evaluate"), sheets.scale(scale)
    draft = merged(defaults(EvaluateSettings) | {"settings": {}}, recipe)
    check_choice("task", draft["task"], plugin.names("evaluate"))
    values = _typed(parse_set(changes), draft, encoder)
    check_encoder(apply(draft, values, {})["encoder"], encoder)
    model = settings_of_task(draft["task"])
    validated(model, apply(draft, values, {}))  # spelling first, then whether it fits
    own = merged(here.evaluate.get(draft["task"], {}), here.evaluate.get(recipe_name, {}))
    base = merged(defaults(EvaluateSettings) | {"settings": {}}, merged(to_scale(recipe, here), own))
    base = apply(base, to_scale(values, here), {})
    base["encoder"] = _encoder_at_scale(base["encoder"], own.get("encoder", {}), here, encoder)
    check_encoder(base["encoder"], encoder)
    return validated(model, base)


def _typed(values: dict[str, str], draft: dict[str, Any], encoder: str) -> dict[str, Any]:
    """As `values.typed`; settings are those of the task, the encoder's those of the run's encoder."""
    return typed(values, {"encoder": {"name": encoder}}, settings_of_task(draft["task"]), {"encoder": "encoders"})


@functools.cache
def settings_of_task(task: str) -> type[EvaluateSettings]:
    """`EvaluateSettings` whose section `settings` is that of a task."""
    return create_model("EvaluateSettingsOfTask", __base__=EvaluateSettings, settings=(plugin.task_settings(task), ...))


def check_encoder(changes: dict[str, Any], encoder: str) -> None:
    """Refuse settings that an encoder does not have, or a transfer must not change."""
    checked("encoders", {"name": encoder} | changes)


def _encoder_at_scale(changes: dict[str, Any], own: dict[str, Any], scale: ScaleConfig, encoder: str) -> dict[str, Any]:
    """A scale has the last word on what belongs to the encoder, its windows foremost."""
    widths = scale.encoders.get(encoder, {})
    return changes | {key: value for key, value in widths.items() if key in changes} | own


def evaluation_data(sheets: ConfigFolder, scale: str, settings: EvaluateSettings, channels: int) -> dict[str, Any]:
    """Train and validation set, and of a fine-tuning the extra validation set that its scale may have.

    Args:
        channels: of the run's images.
    """
    size = settings.settings.short_side_px
    data = {split: role_data(sheets, scale, settings.role, split, size) for split in ("train", "val")}
    extra = settings.role + EXTRA
    if settings.settings.scores_extra_set and extra in sheets.scale(scale).datasets:
        data["extra"] = role_data(sheets, scale, extra, "val", size)
    check_channels(data, channels)
    return data


def evaluation_config(
    settings: EvaluateSettings,
    evaluation: str,
    run: PretrainConfig,
    data: dict[str, Any],
    init: FineTunedInit | None,
    seeds: int | None,
) -> EvaluateConfig:
    """The complete config of an evaluation.

    Args:
        seeds: that the scale gives it; None for one for every pre-training of the run at least.
    """
    seeds = max(settings.seeds, run.seeds) if seeds is None else seeds
    numerics = {stage: NUMERICS[stage] for stage in ("data", "evaluate")}
    where = {"scale": run.scale, "run": run.run, "evaluation": evaluation, "pretraining": run.hash}
    return EvaluateConfig(**dict(settings) | where | {"seeds": seeds, "numerics": numerics, "data": data, "init": init})


def check_init(init: str, run: str, candidates: Collection[str], followers: tuple[str, ...]) -> None:
    """Refuse a start that leaves no encoder, or that starts from what is to start from it.

    Args:
        candidates: the run's fine-tunings.
        followers: the evaluation that is to start there, the one that starts from that, and so on.

    Raises:
        ValueError: naming the nearest fine-tuning, or the circle.
    """
    check_choice(f"fine-tuning of run '{run}' to start from", init, candidates)
    check_no_circle("init", init, followers, f"start one of them from '{PRETRAINED}'")


def check_is_run(init: str, unwanted: Collection[str]) -> None:
    """Refuse to start from what the scale is without.

    Raises:
        DoesNotFit: if it is.
    """
    if init in unwanted:
        raise DoesNotFit(f"it starts from '{init}', which this scale is without")


def fine_tuned_init(before: EvaluateConfig) -> FineTunedInit:
    """What a config keeps of the fine-tuning it starts from."""
    encoder = (before.init.encoder if before.init else {}) | before.encoder
    return FineTunedInit(evaluation=before.evaluation, config_hash=before.hash, seeds=before.seeds, encoder=encoder)


def features_config(evaluation: EvaluateConfig) -> FeaturesConfig:
    """What determines the frozen features that an evaluation reads."""
    read = "image_px", "score_crop", "score_batch", "mask_ratio", "masked_patch_px"
    settings = {name: getattr(evaluation.settings, name) for name in read}
    same = "scale", "evaluation", "pretraining", "encoder", "precision", "numerics", "init"
    kept = {name: getattr(evaluation, name) for name in same}
    return FeaturesConfig(data={split: evaluation.data[split] for split in FEATURE_SPLITS}, **settings, **kept)
