"""Sharded training (FSDP2): weights, gradients and moments lie split over the processes, and no process holds them all.

They are split inside a node, whose devices are near each other; nodes repeat each other and exchange gradients only.

A block's weights are gathered while it computes, in its number format, and let go afterwards, so 3 B parameters with
AdamW (48 GB in float32) need 6 GB on each of eight devices, plus one block and the activations. Each process writes its
parts of a checkpoint (`simmim.train.sharded_checkpoint`); any number of processes goes on from it.
"""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from simmim.layers.blocks import blocks_of
from simmim.train.processes import Processes

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh


def shard(
    task: nn.Module, groups: list[dict[str, Any]], processes: Processes, dtype: torch.dtype | None
) -> tuple[nn.Module, list[dict[str, Any]]]:
    """A copy of `task` whose weights are split over the processes of a node, and the parameter groups of that copy.

    `task` stays whole in host memory, with the weights it has now, until `gather` puts the trained ones into it; only
    one block at a time is whole on a device. Of the copy, nothing but `forward` may be called.

    Args:
        dtype: number format of the training, None for float32. Blocks are gathered in it; in bfloat16 that is half the
            traffic, and what autocast leaves in float32 (norms, position tables) is rounded too. The kept parts, the
            sums of gradients, and what is in no block stay in float32.
    """
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard  # here, for it takes most of a second

    memo = {id(own): nn.Parameter(own.data, own.requires_grad) for own in task.parameters()}  # no second whole model
    sharded = copy.deepcopy(task, memo)
    mesh = _mesh(processes)
    policy = MixedPrecisionPolicy(param_dtype=dtype, reduce_dtype=torch.float32, cast_forward_inputs=False)
    # Swin blocks return views, and nothing works on those in place.
    warnings.filterwarnings("ignore", "FSDP2-wrapped module .* returned a view tensor", UserWarning)
    for block in blocks_of(sharded):
        fully_shard(block, mesh=mesh, mp_policy=policy)
    fully_shard(sharded, mesh=mesh)
    names = {own: name for name, own in task.named_parameters()}
    parts = dict(sharded.named_parameters())
    return sharded, [group | {"params": [parts[names[own]] for own in group["params"]]} for group in groups]


def _mesh(processes: Processes) -> DeviceMesh:
    """The processes, or by node; torchrun says how many a node has."""
    from torch.distributed.device_mesh import init_device_mesh

    of_node = int(os.environ.get("LOCAL_WORLD_SIZE", processes.world))
    shape, names = (processes.world // of_node, of_node), ("nodes", "processes")
    first = int(shape[0] == 1)  # a single node needs no dimension for nodes
    return init_device_mesh(processes.device.type, shape[first:], mesh_dim_names=names[first:])


def is_sharded(module: nn.Module) -> bool:
    """Whether this is what `shard` made."""
    return hasattr(module, "unshard")


def gather(sharded: nn.Module, task: nn.Module, device: torch.device) -> None:
    """Put the trained weights and buffers into the `task` that `shard` copied, whole and on every process's device.

    Nothing is left to do where that trained itself.
    """
    if sharded is task:
        return
    trained = sharded.state_dict()
    for name, own in task.state_dict().items():  # one at a time: a second whole model may not fit
        own.copy_(whole(trained[name]))
    task.to(device)


def is_split(value: Tensor) -> bool:
    """Whether a tensor lies split over processes."""
    return hasattr(value, "device_mesh")


def whole(value: Tensor) -> Tensor:
    """A tensor that may be split over the processes, all of it; every process must ask for it."""
    return value.full_tensor() if is_split(value) else value


def placed_like(own: Tensor, value: Tensor) -> Tensor:
    """This process's part of a whole `value`, where `own` is split over the processes; otherwise `value` itself."""
    if not is_split(own):
        return value
    from torch.distributed.tensor import distribute_tensor

    part = distribute_tensor(value, own.device_mesh, own.placements, src_data_rank=None)
    return part.clone()  # not a view of the whole


def clip_gradients(parameters: Iterable[nn.Parameter], limit: float) -> Tensor:
    """Scale gradients down to a global norm of `limit` at most; returns their norm before, without waiting for it."""
    parameters = list(parameters)
    norm = whole(nn.utils.get_total_norm([each.grad for each in parameters if each.grad is not None]))
    nn.utils.clip_grads_with_norm_(parameters, limit, norm)
    return norm
