"""Loads a released state into our encoder: completely, or not at all with a list of what does not fit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from simmim.released.buffers import released_buffers
from simmim.released.names import is_buffer, our_name, released_name

_BUFFER_TOLERANCE = 1e-5
_HALF_FORMATS = torch.float16, torch.bfloat16


def load_released(encoder: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Copy a state by released names, without prefix, into an encoder; one in half precision becomes float32.

    Raises:
        ValueError: with a line for each missing, unexpected or different entry and for each stored table that is not
            the one this encoder computes with; with one line in all where only the number format is another.
    """
    is_half = half_format(state) is not None
    wide = {name: value.float() if is_half else value for name, value in _learnt(state).items()}
    _check_number_format(encoder, wide)
    problems = [*_unlike(encoder, wide), *_other_tables(encoder, state)]
    if problems:
        raise ValueError(f"{len(problems)} entries do not fit:\n  " + "\n  ".join(problems))
    encoder.load_state_dict({our_name(name): value for name, value in wide.items()}, strict=True)


def half_format(state: Mapping[str, Tensor]) -> torch.dtype | None:
    """float16 or bfloat16 where all weights are stored in it, otherwise None."""
    formats = {value.dtype for value in _learnt(state).values()}
    return next((each for each in _HALF_FORMATS if formats == {each}), None)


def released_state(encoder: nn.Module) -> dict[str, Tensor]:
    """Weights and stored tables of an encoder by released names, without prefix."""
    entries = encoder.state_dict() | released_buffers(encoder)
    return {released_name(name): value.detach().clone() for name, value in entries.items()}


def _learnt(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value for name, value in state.items() if not is_buffer(name)}


def _check_number_format(encoder: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Say it once where every tensor fits but for its number format."""
    expected = {released_name(name): value for name, value in encoder.state_dict().items()}
    shapes = [{name: value.shape for name, value in each.items()} for each in (expected, state)]
    others = [name for name, value in state.items() if name in expected and value.dtype != expected[name].dtype]
    if others and shapes[0] == shapes[1]:
        formats = " and ".join(sorted({_format(state[name]) for name in others}))
        raise ValueError(
            f"{len(others)} of {len(state)} tensors are {formats}, first '{others[0]}'; published weights are float32: "
            f"save the state as {{name: value.float()}} if you accept the rounding"
        )


def _unlike(encoder: nn.Module, state: Mapping[str, Tensor]) -> Iterator[str]:
    expected = {released_name(name): value for name, value in encoder.state_dict().items()}
    for name, value in expected.items():
        if name not in state:
            yield f"missing: {name} {_described(value)}"
        elif (state[name].shape, state[name].dtype) != (value.shape, value.dtype):
            yield f"unlike: {name} is {_described(state[name])}, expected {_described(value)}"
    for name, value in state.items():
        if name not in expected:
            yield f"unexpected: {name} {_described(value)}"


def _other_tables(encoder: nn.Module, state: Mapping[str, Tensor]) -> Iterator[str]:
    """Stored tables may be missing; those that are there must be the encoder's, up to their format's rounding."""
    expected = {released_name(name): value for name, value in released_buffers(encoder).items()}
    for name in filter(is_buffer, state):
        own, stored = expected.get(name), state[name]
        rounding = torch.finfo(stored.dtype).eps if stored.dtype in _HALF_FORMATS else 0.0
        if own is None:
            yield f"unexpected: {name} {_described(stored)}"
        elif own.shape != stored.shape:
            yield f"unlike: {name} is {_described(stored)}, expected {_described(own)}"
        elif not torch.allclose(own.double(), stored.double(), rtol=rounding, atol=_BUFFER_TOLERANCE):
            yield f"unlike: {name} holds other values than window and input size give"


def _format(value: Tensor) -> str:
    return str(value.dtype).removeprefix("torch.")


def _described(value: Tensor) -> str:
    return f"{_format(value)} {list(value.shape)}"
