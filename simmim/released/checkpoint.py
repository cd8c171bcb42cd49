"""Reads a published checkpoint without trusting it: only tensors, plain values and one inert config node, undamaged."""

from __future__ import annotations

import re
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor
from torch.serialization import add_safe_globals, clear_safe_globals, get_safe_globals

from simmim.storage.reading import one_line, reading, stand_in

_CONFIG_NODE = "yacs.config.CfgNode"


@dataclass(frozen=True)
class Checkpoint:
    """Content of a released file.

    Args:
        state: tensors on the CPU by released name.
        config: what the config node it carries says, as plain values; empty without one.
        left_aside: entries that are neither (optimiser, schedule, epoch, ...).
        notes: what the user should know about how it was read.
    """

    state: Mapping[str, Tensor]
    config: Mapping[str, Any]
    left_aside: tuple[str, ...]
    notes: tuple[str, ...] = ()


class _InertNode:
    """Replaces the config node: a pickle that asks for one gets an ordered dict, which runs no code."""

    def __new__(cls) -> OrderedDict:
        return OrderedDict()


def read_checkpoint(path: Path | str) -> Checkpoint:
    """Read a `.pth` (only ever with `weights_only=True`) or a `.safetensors` of the same names.

    Raises:
        ValueError: for a file that is damaged, holds no state or several, or asks for anything but tensors, plain
            values and the config node; what it asked for is named and was not run.
    """
    if Path(path).suffix == ".safetensors":
        with _opened(path) as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        return Checkpoint(state, {}, (), (_unchecked("a .safetensors of others"),))
    is_archive = _check_archive(path)
    content = _unpickle(path, is_archive)
    if not isinstance(content, Mapping):
        raise ValueError(f"{path} holds a {type(content).__name__}, not a checkpoint")
    if _is_state(content):
        content = {"model": content}
    entry = _state_entry(path, content)
    config = _plain(content.get("config", {}))
    notes = [] if is_archive else [_unchecked("a .pth from before PyTorch 1.6")]
    notes += [] if entry == "model" else [f"the state was found under '{entry}'"]
    return Checkpoint(
        _checked(path, content[entry]),
        config if isinstance(config, dict) else {},
        tuple(str(name) for name in content if name not in (entry, "config")),
        tuple(notes),
    )


def is_encoder_file(path: Path | str) -> bool:
    """Whether a `.safetensors` is one that this package wrote.

    Raises:
        ValueError: for a damaged file.
    """
    with _opened(path) as file:
        return "simmim" in (file.metadata() or {})


@contextmanager
def _opened(path: Path | str) -> Iterator[Any]:
    with reading(path, "a whole .safetensors", "fetch it again"), safe_open(path, framework="pt") as file:
        yield file


def _unchecked(kind: str) -> str:
    return f"not checked for damage: {kind} has no checksums; compare its SHA-256 with the published one"


def _check_archive(path: Path | str) -> bool:
    """Whether this is a zip archive, as PyTorch writes since 1.6.

    Raises:
        ValueError: for an archive with an entry that does not have its checksum. PyTorch itself does not look at them.
    """
    with reading(path, "a checkpoint", "fetch it again"), open(path, "rb") as file:
        begins_as_archive = file.read(4) == b"PK\x03\x04"
    if not begins_as_archive and not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except Exception as error:  # a flipped bit can ask for any feature of the format
        raise ValueError(f"{path} is no whole zip archive ({one_line(error)}); fetch it again") from None
    if damaged is not None:
        raise ValueError(f"{path} is damaged: its entry '{damaged}' does not have its checksum; fetch it again")
    return True


def _unpickle(path: Path | str, is_archive: bool) -> Any:
    try:
        with _config_nodes_allowed():
            # Mapped into memory where the format allows: optimiser states beside the weights are then never loaded.
            return torch.load(path, map_location="cpu", weights_only=True, mmap=is_archive)
    except Exception as error:  # a hostile or truncated file can raise anything; it cannot be read in any case
        asked = re.search(r"GLOBAL (\S+)", str(error))
        if asked:
            raise ValueError(
                f"{path} is refused: its pickle asks for '{asked[1]}'; allowed are tensors, plain values and "
                f"'{_CONFIG_NODE}'"
            ) from None
        if said := stand_in(path):
            raise ValueError(f"{path} is {said}") from None
        kind = type(error).__name__
        raise ValueError(f"{path} is no whole checkpoint of tensors and plain values ({kind})") from None


@contextmanager
def _config_nodes_allowed() -> Iterator[None]:
    """Allow the config node alone, whatever other libraries have allowed."""
    before = get_safe_globals()
    clear_safe_globals()
    add_safe_globals([(_InertNode, _CONFIG_NODE)])
    try:
        yield
    finally:
        clear_safe_globals()
        add_safe_globals(before)


def _is_state(value: Any) -> bool:
    return isinstance(value, Mapping) and bool(value) and all(isinstance(each, Tensor) for each in value.values())


def _state_entry(path: Path | str, content: Mapping[Any, Any]) -> str:
    """The entry with the state: "model" in released files, in others the only one that holds nothing but tensors."""
    if isinstance(content.get("model"), Mapping):
        return "model"
    found = [name for name, value in content.items() if _is_state(value)]
    if len(found) > 1:
        listed = ", ".join(f"'{name}'" for name in found)
        raise ValueError(f"{path} has several states: {listed}; save the one you want as {{'model': state}}")
    if not found:
        raise ValueError(f"{path} has no state under 'model', only: {', '.join(map(str, content)) or 'nothing'}")
    return found[0]


def _checked(path: Path | str, state: Mapping[Any, Any]) -> dict[str, Tensor]:
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise ValueError(f"{path}: entry {name!r} of the state is a {type(value).__name__}, not a tensor")
        if value.layout != torch.strided or value.device.type != "cpu" or value.is_quantized:
            raise ValueError(f"{path}: entry '{name}' of the state is not a plain dense tensor")
    return {name: value.detach() for name, value in state.items()}


def _plain(value: Any) -> Any:
    """Nested config nodes as dicts, lists and scalars; anything else as None."""
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if isinstance(value, str | int | float) else None
