"""From a row of tokenizers.tsv to the config of a tokenizer."""

from __future__ import annotations

from pathlib import Path

from simmim import NUMERICS
from simmim.config.component_settings import checked
from simmim.config.datasets import role_data
from simmim.config.errors import located_at, validated
from simmim.config.folder import ConfigFolder
from simmim.config.models import TokenizerConfig, TokenizerSettings
from simmim.config.reading import parse_set
from simmim.config.values import apply, merged, typed
from simmim.plugin import check_choice

_KINDS = {"kind": "tokenizers"}


def preferred_tokenizer(sheets: ConfigFolder, scale: str, name: str) -> str:
    """The tokenizer that a row which names one gets: published weights where their file is there, else the named one.

    A scale that makes the named one in its own way keeps it.

    Raises:
        ValueError: for an unknown tokenizer, with the nearest one.
    """
    check_choice("tokenizer", name, [name for (name,) in sheets.tokenizers])
    if name in sheets.scale(scale).tokenizers:
        return name
    published = {key: row for (key,), row in sheets.tokenizers.items() if row.instead_of == name}
    files = {key: Path(sheets.located(parse_set(row.set)["file"])) for key, row in published.items()}
    return next((key for key, file in files.items() if file.is_file()), name)


def tokenizer_config(sheets: ConfigFolder, scale: str, name: str) -> TokenizerConfig:
    """The config of a tokenizer at a scale. Its lengths are its own: a scale changes them by name, under `tokenizers`.

    Raises:
        ValueError: for an unknown tokenizer, kind or setting, with the nearest one.
    """
    check_choice("tokenizer", name, [name for (name,) in sheets.tokenizers])
    row = sheets.tokenizers[(name,)]
    with located_at(sheets.place("tokenizers", name)):
        draft = {"kind": {"name": row.kind}}
        values = parse_set(row.set)
        values = {key if "." in key else f"kind.{key}": text for key, text in values.items()}
        draft = apply(draft, typed(values, draft, TokenizerSettings, _KINDS), _KINDS)
        draft = merged(draft, sheets.scale(scale).tokenizers.get(name, {}))
        draft["kind"] = checked("tokenizers", draft["kind"])
        settings = validated(TokenizerSettings, draft)
        is_published = bool(settings.kind.settings.get("file"))
        size = settings.kind.settings.get("image_px", 0)  # what a kind takes by itself is below any set
        data = {} if is_published else {"train": role_data(sheets, scale, "pretrain", "train", size)}
        if any(each.pack.bands for each in data.values()):
            raise ValueError(f"tokenizers learn from RGB, and '{data['train'].dataset}' is packed with pack.bands")
    numerics = {stage: NUMERICS[stage] for stage in ("data", "tokenizer")}
    return TokenizerConfig(**dict(settings), scale=scale, name=name, numerics=numerics, data=data)
