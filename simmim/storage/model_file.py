"""Weights in one safetensors file with all that is needed to rebuild the model they belong to, and a digest of both."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from simmim.storage.files import whole_file


def write(path: Path | str, model: nn.Module, header: Mapping[str, Any]) -> None:
    """Write a model's state, whole or not at all.

    Args:
        header: JSON values that rebuild the model. A digest of header and tensors is stored beside it.
    """
    text = json.dumps(dict(header), sort_keys=True)
    state = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    with whole_file(path) as temporary:
        save_file(state, temporary, metadata={"simmim": text, "sha256": _digest(text, state)})


def read(path: Path | str, kind: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Header and tensors, on the CPU.

    Args:
        kind: what the file is expected to be ("encoder", "tokenizer"): a key of its header.

    Raises:
        ValueError: for a file of another kind, or one that was cut short or changed since it was written.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged, or no safetensors file: {error}") from None
    if "simmim" not in metadata:
        raise ValueError(f"{path} is no {kind} written by simmim: its header has no 'simmim' entry")
    if metadata.get("sha256") != _digest(metadata["simmim"], state):
        raise ValueError(f"{path} is damaged: its content does not match the SHA-256 in its header")
    header = json.loads(metadata["simmim"])
    if kind not in header:
        raise ValueError(f"{path} is no {kind}: its header has only {', '.join(sorted(header))}")
    return header, state


def digest(path: Path | str) -> str:
    """The SHA-256 of header and tensors as the file states it; `read` verifies it."""
    with safe_open(path, framework="pt") as file:
        return (file.metadata() or {}).get("sha256", "")


def load(path: Path | str, kind: str, model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Give a model a state that was read from a file; names and shapes must match exactly.

    Raises:
        ValueError: naming the tensors that do not fit.
    """
    try:
        model.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise ValueError(f"{path} does not fit the {kind} it is to fill: {error}") from error


def _digest(header: str, state: Mapping[str, Tensor]) -> str:
    """Hex SHA-256 over the header's text and every tensor's name, type, shape and bytes."""
    result = hashlib.sha256(header.encode())
    for name, value in sorted(state.items()):
        result.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        result.update(value.reshape(-1).view(torch.uint8).numpy())
    return result.hexdigest()
