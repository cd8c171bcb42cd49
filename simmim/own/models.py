"""What `--model` names: a row of models.tsv, or one of timm's backbones."""

from __future__ import annotations

import difflib
from typing import Any

from simmim.config.models import PRETRAIN_KINDS
from simmim.config.reading import parse_set, read_sheet, read_yaml
from simmim.config.rows import ModelRow
from simmim.config.shipped import config_folder
from simmim.config.values import apply
from simmim.plugin import check_choice

_TIMM_RECIPE = "vit_b_800ep"  # what a backbone of timm's is trained with
_ALIKE = 0.85  # no name of timm's is so much like one of ours


def models() -> dict[str, ModelRow]:
    """The project's own names."""
    return {name: row for (name,), row in read_sheet(config_folder() / "models.tsv", ("model",), ModelRow).items()}


def recipe_of(model: str) -> dict[str, Any]:
    """The recipe that pre-trains a model, in real pixels.

    Raises:
        ValueError: for a name that there is not, with the nearest one.
    """
    known = models()
    misspelt = difflib.get_close_matches(model, known, n=1, cutoff=_ALIKE)
    if model not in known and not misspelt:
        return read_recipe(_TIMM_RECIPE) | {"encoder": {"name": "timm", "model": model}}
    check_choice("model", model, known)
    row = known[model]
    values = {key: _value(text) for key, text in parse_set(row.set).items()}
    return apply(read_recipe(row.recipe), values, PRETRAIN_KINDS)


def read_recipe(name: str) -> dict[str, Any]:
    """A recipe that comes with the package."""
    return dict(read_yaml(config_folder() / "recipes" / f"{name}.yaml"))


def _value(text: str) -> Any:
    """A number, a word, or a list of numbers."""
    if "," in text:
        return [_value(each) for each in text.split(",")]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
