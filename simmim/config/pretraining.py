"""From a row of pretrain.tsv to the config of a pre-training.

A row names a recipe (`config/recipes/`) in the paper's pixels and epochs and changes single values in its `set` column;
a scale (`config/scales/`) says what the paper's pixels, epochs and widths become.
"""

from __future__ import annotations

import functools
from typing import Any

from pydantic_core import PydanticUndefined

from simmim import NUMERICS
from simmim.config.datasets import check_channels, role_data
from simmim.config.errors import DoesNotFit, validated
from simmim.config.folder import ConfigFolder
from simmim.config.models import PRETRAIN_KINDS, PretrainConfig, PretrainSettings
from simmim.config.reading import parse_set
from simmim.config.scale import ScaleConfig
from simmim.config.sections import Section
from simmim.config.tokenizers import preferred_tokenizer, tokenizer_config
from simmim.config.values import apply, merged, to_scale, typed


def pretrain_config(sheets: ConfigFolder, scale: str, run: str) -> PretrainConfig:
    """The config of a run at a scale; a run that it begins with (`init.run`) is not looked at.

    Raises:
        ValueError: for anything unknown or impossible in the row, naming value and nearest choice.
        DoesNotFit: when the row cannot exist at this scale.
    """
    row, here = sheets.pretrain[(run,)], sheets.scale(scale)
    recipe = sheets.recipe(row.recipe, "pretrain")
    draft = merged(defaults(PretrainSettings), recipe)
    values = typed(parse_set(row.set), draft, PretrainSettings, PRETRAIN_KINDS)
    validated(PretrainSettings, apply(draft, values, PRETRAIN_KINDS))  # spelling first, then whether it fits
    drafted = _at_scale(recipe, values, here) | _seeds(here, run)
    if tokenizer := (drafted.get("target") or {}).get("tokenizer"):
        drafted["target"] = drafted["target"] | {"tokenizer": preferred_tokenizer(sheets, scale, tokenizer)}
    settings = validated(PretrainSettings, drafted)
    if here.encoders and settings.encoder.name not in here.encoders:
        raise DoesNotFit(f"encoder {settings.encoder.name} has no counterpart at this scale")
    size = settings.short_side_px
    parts: dict[str, Any] = {
        "data": {split: role_data(sheets, scale, settings.role, split, size) for split in ("train", "val")}
    }
    check_channels(parts["data"], settings.channels, settings.images.is_measured)
    if settings.target and "tokenizer" in settings.target.settings:
        parts["tokenizer"] = tokenizer_config(sheets, scale, settings.target.settings["tokenizer"])
    numerics = {stage: NUMERICS[stage] for stage in ("data", "pretrain")}
    return PretrainConfig(**dict(settings), scale=scale, run=run, numerics=numerics, **parts)


def _at_scale(recipe: dict[str, Any], values: dict[str, Any], scale: ScaleConfig) -> dict[str, Any]:
    """A scale replaces values of the recipe, and the row those of both."""
    base = merged(defaults(PretrainSettings), to_scale(recipe, scale, scale.pretrain_epochs))
    named = {part: scale.widths[part].get(base[part]["name"], {}) for part in scale.widths if base.get(part)}
    base = merged(base, merged(scale.pretrain, named))
    return apply(base, to_scale(values, scale, scale.pretrain_epochs), PRETRAIN_KINDS, scale.widths)


def _seeds(scale: ScaleConfig, run: str) -> dict[str, int]:
    return {"seeds": scale.seeds[run]} if run in scale.seeds else {}


@functools.cache
def defaults(model: type[Section]) -> dict[str, Any]:
    """The sections that a recipe may leave out, so that a row can still set one of their values."""
    found = {name: field.default for name, field in model.model_fields.items()}
    found = {name: value for name, value in found.items() if value is not None and value is not PydanticUndefined}
    return {
        name: value.model_dump(mode="json") if hasattr(value, "model_dump") else value for name, value in found.items()
    }
