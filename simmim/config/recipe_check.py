"""The shape of a recipe, which all that reads its values takes for granted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from simmim import plugin
from simmim.config.models import PRETRAIN_KINDS

_OF_EVALUATION = ("encoder", "settings")  # sections whose settings are a component's or a task's


def check_recipe(recipe: Mapping[str, Any], stage: str) -> None:
    """Refuse a recipe without a task, with unread milestones, or something else where a section or name must stand.

    Args:
        stage: "pretrain" or "evaluate".

    Raises:
        ValueError: naming the key, its value and what to write.
    """
    if stage == "evaluate" and "task" not in recipe:
        raise ValueError(f"task is missing; write one of {', '.join(plugin.names('evaluate'))}")
    for key in ("task", "role"):
        _check_name(key, recipe.get(key, ""))
    check_sections(recipe, stage)
    train = recipe.get("train")
    if isinstance(train, Mapping) and train.get("milestones") and train.get("schedule") != "step":
        raise ValueError(
            f"train.milestones = {train['milestones']}: only the step schedule has any; write schedule: step"
        )


def check_sections(values: Mapping[str, Any], stage: str, place: str = "") -> None:
    """Refuse something else where the settings of a component or of a task must stand.

    Args:
        values: of a recipe, or what a scale puts in their place.
        place: what messages write before a key.

    Raises:
        ValueError: naming the key, its value and what to write.
    """
    for key in PRETRAIN_KINDS if stage == "pretrain" else _OF_EVALUATION:
        section, where = values.get(key, {}), f"{place}{key}"
        if section is None and stage == "evaluate":
            raise ValueError(f"{where} is empty: leave it out, or write its settings below it")
        if section is not None and not isinstance(section, Mapping):
            example = f", as {key}: {{name: {section}}}" if stage == "pretrain" and isinstance(section, str) else ""
            raise ValueError(f"{where} = {section!r}: write its settings below it{example}")
        _check_name(f"{where}.name", (section or {}).get("name", ""))


def _check_name(key: str, value: Any) -> None:
    if not isinstance(value, str):
        raise ValueError(f"{key} = {value!r}: write one name")
