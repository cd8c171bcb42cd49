"""The index of a packed data set: the version of its format, what it was made from, and reading it. Torch-free."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from simmim import PACKED_FORMAT as FORMAT
from simmim.data.samples import Source
from simmim.storage.files import sha256_bytes
from simmim.storage.reading import read_json

INDEX = "index.json"


def index_sha256(index: Mapping[str, Any]) -> str:
    """Hex SHA-256 of everything else in an index."""
    rest = {key: value for key, value in index.items() if key != "index_sha256"}
    return sha256_bytes(json.dumps(rest, sort_keys=True).encode())


def read_index(folder: Path | str) -> dict[str, Any]:
    """The index of a packed data set.

    Raises:
        ValueError: when there is none, it is damaged, or it is of another format.
    """
    path = Path(folder) / INDEX
    if not path.is_file():
        raise ValueError(f"{folder} is not a packed data set: it has no {INDEX} (packing may have been interrupted)")
    index = read_json(path, "the index of a packed data set", "pack again")
    if not isinstance(index, dict) or "format" not in index:
        raise ValueError(f"{path} is damaged: it is no index; pack again")
    version = index["format"]
    if version != FORMAT:
        raise ValueError(
            f"{path} has format {version}, this version reads format {FORMAT}; delete {folder} and pack again"
        )
    if index.get("index_sha256") != index_sha256(index):
        raise ValueError(f"{path} was altered after packing; pack again")
    return index


def source_changed(index: Mapping[str, Any], source: Source) -> bool:
    """Whether a file of the source was added, removed or edited since it was packed; reads names, sizes and times.

    Raises:
        ValueError: when the source is not where it was.
    """
    return source.fingerprint() != index["source_sha256"]
