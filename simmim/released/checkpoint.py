"""Opens a published checkpoint without trusting it: tensors, plain values and one inert config node, nothing else."""

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
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.serialization import add_safe_globals, clear_safe_globals, get_safe_globals

_CONFIG_NODE = "yacs.config.CfgNode"


@dataclass(frozen=True)
class Checkpoint:
    """Content of a released file.

    Args:
        state: tensors on the CPU by released name.
        config: what the config node it carries says, as plain values; empty without one.
        left_aside: entries that are neither (optimiser, schedule, epoch, ...).
    """

    state: Mapping[str, Tensor]
    config: Mapping[str, Any]
    left_aside: tuple[str, ...]


class _InertNode:
    """Stands for the config node: what a pickle that asks for one gets is an ordered dict, which runs no code."""

    def __new__(cls) -> OrderedDict:
        return OrderedDict()


def read_checkpoint(path: Path | str) -> Checkpoint:
    """Read a `.pth` (only ever with `weights_only=True`) or a `.safetensors` of the same names.

    Raises:
        ValueError: for a file that is damaged, holds no state, or asks for anything but tensors, plain values and the
            config node; what it asked for is named and was not run.
    """
    if Path(path).suffix == ".safetensors":
        with _opened(path) as file:
            return Checkpoint({name: file.get_tensor(name) for name in file.keys()}, {}, ())  # noqa: SIM118
    content = _unpickle(path)
    if not isinstance(content, Mapping):
        raise ValueError(f"{path} holds a {type(content).__name__}, not a checkpoint")
    if "model" not in content and content and all(isinstance(value, Tensor) for value in content.values()):
        content = {"model": content}
    if not isinstance(content.get("model"), Mapping):
        raise ValueError(f"{path} has no state under 'model', only: {', '.join(map(str, content)) or 'nothing'}")
    others = tuple(str(name) for name in content if name not in ("model", "config"))
    config = _plain(content.get("config", {}))
    return Checkpoint(_checked(path, content["model"]), config if isinstance(config, dict) else {}, others)


def is_encoder_file(path: Path | str) -> bool:
    """Whether a `.safetensors` is one that this package wrote.

    Raises:
        ValueError: for a damaged file.
    """
    with _opened(path) as file:
        return "simmim" in (file.metadata() or {})


@contextmanager
def _opened(path: Path | str) -> Iterator[Any]:
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except SafetensorError as error:
        raise ValueError(f"{path} is no whole .safetensors: {error}") from error


def _unpickle(path: Path | str) -> Any:
    try:
        with _config_nodes_allowed():
            # Mapped into memory where the format allows: optimiser states beside the weights are then never read.
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except FileNotFoundError:
        raise
    except Exception as error:  # a hostile or cut file can raise anything, and all of it means: not readable
        asked = re.search(r"GLOBAL (\S+)", str(error))
        if asked:
            raise ValueError(
                f"{path} is refused: its pickle asks for '{asked[1]}'; allowed are tensors, plain values and "
                f"'{_CONFIG_NODE}'"
            ) from None
        kind = type(error).__name__
        raise ValueError(f"{path} is no whole checkpoint of tensors and plain values ({kind})") from None


@contextmanager
def _config_nodes_allowed() -> Iterator[None]:
    """Allow the config node and nothing that another library has allowed before."""
    before = get_safe_globals()
    clear_safe_globals()
    add_safe_globals([(_InertNode, _CONFIG_NODE)])
    try:
        yield
    finally:
        clear_safe_globals()
        add_safe_globals(before)


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
