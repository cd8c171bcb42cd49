"""The gradients of one update: forward and backward passes over its micro-batches."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from simmim.train.arithmetic import searched_convolutions
from simmim.train.reading import to_device
from simmim.train.sharding import is_sharded
from simmim.train.speed import ForwardFlops
from simmim.train.task import TrainTask


def accumulate(
    task: TrainTask,
    module: nn.Module,
    batches: Iterator[dict],
    accumulation: int,
    device: torch.device,
    flops: ForwardFlops,
) -> Tensor:
    """Forward and backward over one step's micro-batches; gradients are averaged over them and over the processes.

    Args:
        module: what is called for a loss: the task, or what spreads it over processes.
        flops: counts those of the forward passes.

    Returns:
        The mean loss, not waited for.
    """
    together = batches_of_a_pass(task, accumulation)
    turns = accumulation // together
    replicated = isinstance(module, DistributedDataParallel)  # sharded gradients are never kept whole between them
    total = torch.zeros((), device=device)
    for turn in range(turns):
        batch = joined([next(batches) for _ in range(together)], device)
        last = turn == turns - 1
        skip_sync = module.no_sync() if replicated and not last else contextlib.nullcontext()
        with skip_sync, searched_convolutions(not task.varying_shapes):
            with flops.counted():
                loss = loss_of(task, module, batch, device) / turns
            loss.backward()
        total += loss.detach()
    flops.update_is_done()
    return total


def batches_of_a_pass(task: TrainTask, accumulation: int) -> int:
    """Micro-batches that one forward pass is given."""
    return accumulation if task.whole_batch else 1


def joined(batches: Sequence[dict[str, Any]], device: torch.device) -> dict[str, Any]:
    """One batch on the device; of several, whose values are tensors then."""
    batches = [to_device(batch, device) for batch in batches]
    if len(batches) == 1:
        return batches[0]
    return {key: torch.cat([batch[key] for batch in batches]) for key in batches[0]}


def loss_of(task: TrainTask, module: nn.Module, batch: dict[str, Any], device: torch.device) -> Tensor:
    """The loss of a batch in the number format of the training; arguments as `accumulate`."""
    dtype = None if task.own_autocast else task.autocast_dtype
    keep_casts = not is_sharded(module)  # casts that are kept would add up to the whole model
    with torch.autocast(device.type, dtype, enabled=dtype is not None, cache_enabled=keep_casts):
        return module(batch)
