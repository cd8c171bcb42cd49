"""JSON files that hold a digest of themselves: a flipped bit in a step or a config is seen. Standard library only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from simmim.storage.files import sha256_bytes, write_text
from simmim.storage.reading import reading

_SEAL = "sha256_of_the_rest"


def write_sealed(path: Path | str, content: Mapping[str, Any]) -> None:
    """Write a mapping of JSON values, whole or not at all."""
    content = json.loads(json.dumps(content))  # as it will be read
    write_text(path, json.dumps(content | {_SEAL: _digest(content)}, indent=1) + "\n")


def read_sealed(path: Path | str) -> dict[str, Any]:
    """What `write_sealed` wrote.

    Raises:
        ValueError: for a file that is no such JSON, or was changed since.
    """
    with reading(path, "JSON that was written here", "remove it, so that it is made again"):
        content = json.loads(Path(path).read_bytes())
        seal = content.pop(_SEAL, None)
    if seal is None:
        raise ValueError(f"{path} has no digest of itself: it is damaged, or an earlier version wrote it")
    if seal != _digest(content):
        raise ValueError(f"{path} is damaged: it does not have the digest it was written with")
    return content


def digest_of(path: Path | str) -> str:
    """The digest of what a sealed file holds."""
    return _digest(read_sealed(path))


def _digest(content: Mapping[str, Any]) -> str:
    return sha256_bytes(json.dumps(content, sort_keys=True).encode())
