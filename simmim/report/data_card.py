"""The data card of made data in words: what the page prints of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from simmim.storage.reading import reading
from simmim.storage.sealed_json import read_sealed

# What a set is called, by its folder, which is called by whose format it has.
_SETS = {
    "pretrain": "Earth imagery",
    "classify": "climate",
    "classify_v2": "climate, other tiles",
    "inaturalist": "climate, long tail",
    "coco": "islands and lakes",
    "ade20k": "land cover",
}


def read_card(path: Path) -> dict[str, Any]:
    """The data card that was written with the data.

    Raises:
        ValueError: for a file that is none.
    """
    card = read_sealed(path)
    with reading(path, "a data card", "remove it and make the data again with `simmim demo-data`"):
        card_sections(card)
    return card


def card_sections(card: Mapping[str, Any]) -> dict[str, list[str]]:
    """Heading to what is listed under it."""
    return {
        "Split": [f"{card['split']['rule']}."],
        "How many": _counts(card["counts"]),
        "What colour alone gets (top-1)": _baselines(card["colour_baselines"]),
        "Sources and their terms": [_source(each) for each in card["sources"]],
        "Known weaknesses": list(card["weaknesses"]),
    }


def labels_words(key: str) -> str:
    """'50 labels a class' for the key 'top1_50_labels_a_class'."""
    return key.removeprefix("top1_").replace("_", " ")


def _counts(counts: Mapping[str, Mapping[str, Any]]) -> list[str]:
    return [
        f"{_SETS.get(name, name)}, {split}: {_counted(value)}"
        for name, splits in counts.items()
        for split, value in splits.items()
    ]


def _counted(value: Any) -> str:
    """Counts of any depth in words: 'images 100, objects (island 200, lake 150)'."""
    if not isinstance(value, Mapping):
        return f"{value:,}"
    inner = {
        name: f"({_counted(each)})" if isinstance(each, Mapping) else _counted(each) for name, each in value.items()
    }
    return ", ".join(f"{name.replace('_', ' ')} {words}" for name, words in inner.items())


def _baselines(baselines: Mapping[str, Mapping[str, float]]) -> list[str]:
    return [
        f"{labels_words(labels)}: {'; '.join(f'{method} {value} %' for method, value in methods.items())}"
        for labels, methods in baselines.items()
    ]


def _source(source: Mapping[str, str]) -> str:
    return f"{source['what']}, from {source['package']} {source['version']}: {source['terms']}."
