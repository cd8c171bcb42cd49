"""Model files: weights and the header that rebuilds their model in one safetensors file, under a digest of both."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from simmim.storage.files import whole_file
from simmim.storage.reading import one_line, reading, some_of

_CURE = "remove it, so that it is made again, or fetch it again"
_ENTRY = "simmim"  # one metadata entry: safetensors writes several in random order
_NAMED = 3  # of the tensors that do not fit


def write(path: Path | str, model: nn.Module, header: Mapping[str, Any]) -> None:
    """Write a model's state and header; equal models and headers give equal bytes.

    Args:
        header: JSON values that rebuild the model.
    """
    write_state(path, {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}, header)


def write_state(path: Path | str, state: dict[str, Tensor], header: Mapping[str, Any]) -> None:
    """Write contiguous CPU tensors and a header, as `write` does."""
    header = json.loads(json.dumps(dict(header)))  # as it will be read
    stated = {"header": header, "sha256": digest_of(header, state)}
    write_tensors(path, state, {_ENTRY: json.dumps(stated, sort_keys=True)})


def write_tensors(path: Path | str, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write contiguous CPU tensors as a safetensors file: whole or not at all, with the mode that the umask gives."""
    with whole_file(path) as temporary:
        try:
            save_file(tensors, temporary, metadata)
        except SafetensorError as error:  # such as a full disk
            raise OSError(f"{path} cannot be written: {one_line(error)}") from None


def read(path: Path | str, kind: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read header and tensors, the latter on the CPU.

    Args:
        kind: what the file should hold ("encoder", "tokenizer"): a key of its header.

    Raises:
        ValueError: for a file of another kind, or one that was truncated or changed after it was written.
    """
    with reading(path, "a safetensors file", _CURE), safe_open(path, framework="pt") as file:
        metadata = file.metadata()
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    header, sha256 = _stated(path, metadata, kind)
    if sha256 != digest_of(header, state):
        raise ValueError(f"{path} is damaged: its content does not match the SHA-256 in its header")
    if kind not in header:
        raise ValueError(f"{path} is no {kind}: its header has only {', '.join(sorted(header))}")
    return header, state


def is_own(path: Path | str) -> bool:
    """Whether a .safetensors was written here, and states what it holds."""
    with reading(path, "a safetensors file", _CURE), safe_open(path, framework="pt") as file:
        return _ENTRY in (file.metadata() or {})


def tensors(path: Path | str) -> dict[str, Tensor]:
    """The tensors of a .safetensors by others, on the CPU; nothing in it tells whether it is damaged."""
    with reading(path, "a safetensors file", "fetch it again"):
        return load_file(path)


def state(path: Path | str) -> dict[str, Tensor]:
    """The tensors of a file that `read` has found sound, on the CPU."""
    return load_file(path)


def digest(path: Path | str) -> str:
    """The SHA-256 of header and tensors that the file states; `read` verifies it.

    Raises:
        ValueError: for a file that `write` did not write, or one that was changed so that it states none.
    """
    return _opened(path)[1]


def verified_digest(path: Path | str, kind: str) -> str:
    """The digest that a file states, which its content was found to have; raises as `read`."""
    read(path, kind)
    return digest(path)


def header(path: Path | str) -> dict[str, Any]:
    """What the file says of its model; raises as `digest`."""
    return _opened(path)[0]


def _opened(path: Path | str) -> tuple[dict[str, Any], str]:
    with reading(path, "a safetensors file", _CURE), safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    return _stated(path, metadata, "model")


def load(path: Path | str, kind: str, model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load a state that was read from `path` into a model; names and shapes must match exactly.

    Raises:
        ValueError: naming the first tensors that do not fit.
    """
    wanted = model.state_dict()
    check_names(path, kind, state, wanted)
    shapes = {name: (list(state[name].shape), list(value.shape)) for name, value in wanted.items()}
    if other := [f"its {name} is {given}, not {due}" for name, (given, due) in shapes.items() if given != due]:
        raise ValueError(f"{path} does not fit the {kind} it is to fill: {some_of(other, _NAMED)}")
    model.load_state_dict(state, strict=True)


def check_names(path: Path | str, kind: str, given: Collection[str], wanted: Collection[str]) -> None:
    """Refuse a file with other tensors than a model.

    Raises:
        ValueError: naming the first that are lacking or too many.
    """
    lacking, more = [n for n in wanted if n not in given], [n for n in given if n not in wanted]
    if said := [f"{verb} {some_of(names, _NAMED)}" for verb, names in (("lacks", lacking), ("has", more)) if names]:
        other = f"it is of another architecture, {' and '.join(said)}"
        raise ValueError(f"{path} does not fit the {kind} it is to fill: {other}")


def _stated(path: Path | str, metadata: Mapping[str, str] | None, kind: str) -> tuple[dict[str, Any], str]:
    """Header and digest. Older files have an entry for each, new ones one for both."""
    if _ENTRY not in (metadata or {}):
        raise ValueError(
            f"{path} is no {kind} written by simmim: its header has no '{_ENTRY}' entry; "
            "`simmim convert` makes an encoder file of released weights, and `init.encoder` of a row begins with timm's"
        )
    try:
        stated = json.loads(metadata[_ENTRY])
        return (stated, metadata["sha256"]) if "sha256" in metadata else (stated["header"], stated["sha256"])
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{path} is damaged: its '{_ENTRY}' entry cannot be read") from None


def digest_of(header: Mapping[str, Any], state: Mapping[str, Tensor]) -> str:
    """Hex SHA-256 over the header as JSON and every tensor's name, type, shape and bytes."""
    result = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name, value in sorted(state.items()):
        result.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        result.update(value.reshape(-1).view(torch.uint8).numpy())
    return result.hexdigest()
