"""Loads a released state into our encoder: completely, or not at all and with the list of what does not fit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from simmim.released.buffers import released_buffers
from simmim.released.names import is_buffer, our_name, released_name

_BUFFER_TOLERANCE = 1e-5


def load_released(encoder: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Copy a state by released names, without prefix, into an encoder.

    Raises:
        ValueError: with one line for each missing, unexpected or unlike entry, and for each stored table that is not
            the one this encoder computes with.
    """
    problems = [*_unlike(encoder, state), *_other_tables(encoder, state)]
    if problems:
        raise ValueError(f"{len(problems)} entries do not fit:\n  " + "\n  ".join(problems))
    weights = {our_name(name): value for name, value in state.items() if not is_buffer(name)}
    encoder.load_state_dict(weights, strict=True)


def released_state(encoder: nn.Module) -> dict[str, Tensor]:
    """Weights and stored tables of an encoder by released names, without prefix."""
    entries = encoder.state_dict() | released_buffers(encoder)
    return {released_name(name): value.detach().clone() for name, value in entries.items()}


def _unlike(encoder: nn.Module, state: Mapping[str, Tensor]) -> Iterator[str]:
    expected = {released_name(name): value for name, value in encoder.state_dict().items()}
    for name, value in expected.items():
        if name not in state:
            yield f"missing: {name} {_described(value)}"
        elif (state[name].shape, state[name].dtype) != (value.shape, value.dtype):
            yield f"unlike: {name} is {_described(state[name])}, expected {_described(value)}"
    for name, value in state.items():
        if name not in expected and not is_buffer(name):
            yield f"unexpected: {name} {_described(value)}"


def _other_tables(encoder: nn.Module, state: Mapping[str, Tensor]) -> Iterator[str]:
    """Stored tables need not be there, but those that are must say what the encoder does."""
    expected = {released_name(name): value for name, value in released_buffers(encoder).items()}
    for name in filter(is_buffer, state):
        own = expected.get(name)
        if own is None:
            yield f"unexpected: {name} {_described(state[name])}"
        elif own.shape != state[name].shape:
            yield f"unlike: {name} is {_described(state[name])}, expected {_described(own)}"
        elif not torch.allclose(own.double(), state[name].double(), rtol=0, atol=_BUFFER_TOLERANCE):
            yield f"unlike: {name} holds other values than window and input size give"


def _described(value: Tensor) -> str:
    return f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}"
