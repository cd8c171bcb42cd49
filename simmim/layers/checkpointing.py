"""Activation checkpointing of single blocks: keep their input only, compute the rest again for the gradient."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


def let_run_again(block: nn.Module) -> None:
    """Let a block of any class checkpoint itself in training, whoever calls it and with whatever arguments."""
    block.__class__ = _checkpointed(type(block))


@functools.cache
def _checkpointed(kind: type[nn.Module]) -> type[nn.Module]:
    def forward(self: nn.Module, *inputs: Any, **named: Any) -> Tensor:
        if not (self.training and torch.is_grad_enabled()):
            return self.forward_once(*inputs, **named)
        return run_again(self.forward_once, self, *inputs, **named)

    return type(f"Checkpointed{kind.__name__}", (kind,), {"forward": forward, "forward_once": kind.forward})


def run_again(run: Callable[..., Tensor], network: nn.Module, *inputs: Any, **named: Any) -> Tensor:
    """What a function of a network gives; it runs again for the gradient, and its batch still counts once."""
    contexts = functools.partial(_forward_and_repetition, network)
    return checkpoint(run, *inputs, use_reentrant=False, context_fn=contexts, **named)


def computing_method(block: nn.Module) -> str:
    """Name of the method that computes a block's output, without what `let_run_again` does around it."""
    return "forward_once" if hasattr(block, "forward_once") else "forward"


def _forward_and_repetition(block: nn.Module) -> tuple[contextlib.AbstractContextManager, ...]:
    """What a block runs in, first in the forward pass and then again for its gradient."""
    return contextlib.nullcontext(), _frozen_statistics(block)


@contextlib.contextmanager
def _frozen_statistics(block: nn.Module) -> Iterator[None]:
    """Leave running statistics alone: a block that is computed again for its gradient has already counted the batch."""
    norms = [module for module in block.modules() if isinstance(module, _BatchNorm)]
    before = [(norm.momentum, norm.num_batches_tracked.clone()) for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, (momentum, batches) in zip(norms, before):
            norm.momentum = momentum
            norm.num_batches_tracked.copy_(batches)
