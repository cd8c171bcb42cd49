"""Frozen features as they lie on disk: what they belong to, whether they are whole, and reading them.

train/block_01.npy ...   float16 [n, d]: the block's output for every image of the split, averaged over all its tokens
val/block_01.npy ...
manifest.json            what they belong to, digests of the arrays, and of itself
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from simmim.config.differences import refuse_changed
from simmim.config.evaluate_models import FeaturesConfig
from simmim.data.shards import Shards
from simmim.evaluate.feature_rows import Features
from simmim.storage import model_file
from simmim.storage.files import sha256_file
from simmim.storage.identity import Identity
from simmim.storage.sealed_json import read_sealed
from simmim.train.processes import my_share

MANIFEST = "manifest.json"


def identity_of(config: FeaturesConfig, data: Mapping[str, str], encoder_file: Path) -> Identity:
    """What features belong to; the encoder's digest stands for its seed.

    Args:
        data: digests of packed sets by split.
    """
    data = {split: data[split] for split in config.data}
    return Identity(config.as_json(), None, data, {"encoder": model_file.digest(encoder_file)})


def identity_of_sets(config: FeaturesConfig, sets: Mapping[str, Shards], encoder_file: Path) -> Identity:
    """The same, of opened sets."""
    return identity_of(config, {split: each.digest for split, each in sets.items()}, encoder_file)


def note(path: Path) -> dict[str, Any]:
    """What an extraction has noted; nothing where the note is damaged or there is none."""
    try:
        return read_sealed(path)
    except (OSError, ValueError):
        return {}


def is_complete(folder: Path, identity: Identity) -> bool:
    """Whether finished features of this lie in a folder; others there are made again."""
    manifest, wanted = note(folder / MANIFEST), identity.as_json()
    return {key: manifest.get(key) for key in wanted} == wanted


def open_features(
    folder: Path, config: FeaturesConfig, encoder_file: Path, sets: Mapping[str, Shards]
) -> dict[str, Features]:
    """The features in a folder by split; its arrays stay on disk, and each process verifies its share of them.

    Args:
        config: what they must have been made with.
        sets: packed sets by split, those that they are of among them.

    Raises:
        ValueError: when they are not complete, were made with another config, encoder or set, or are damaged.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise ValueError(f"{folder} holds no complete features: it has no {MANIFEST}; extract them (again)")
    manifest = read_sealed(path)
    refuse_changed(path, manifest, identity_of_sets(config, sets, encoder_file), remove=folder)
    digests = {
        folder / split / each["file"]: each["sha256"] for split in config.data for each in manifest["blocks"][split]
    }
    files = list(digests)
    for file in (files[place] for place in my_share(len(files))):
        if sha256_file(file) != digests[file]:
            raise ValueError(f"{file} is damaged; remove {folder} and extract again")
    return {split: _opened(folder / split, manifest["blocks"][split], sets[split]) for split in config.data}


def _opened(folder: Path, arrays: Sequence[Mapping[str, Any]], shards: Shards) -> Features:
    maps = [np.load(folder / array["file"], mmap_mode="r") for array in arrays]
    return Features(maps, torch.tensor(shards.labels), torch.arange(len(shards)))
