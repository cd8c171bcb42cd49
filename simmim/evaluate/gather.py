"""What dense scores need of several processes: one set of buffers, all predictions in one place."""

from __future__ import annotations

from typing import Any

import torch.distributed as dist
from torch import nn


def copy_buffers_from_first(module: nn.Module) -> None:
    """Give every process the first one's buffers: batch statistics differ between processes, and scores must not."""
    if dist.is_initialized():
        for buffer in module.buffers():
            dist.broadcast(buffer, src=0)


def gathered(items: list[Any]) -> list[Any]:
    """The items of all processes, on each of them."""
    if not dist.is_initialized():
        return items
    parts: list[list[Any]] = [[] for _ in range(dist.get_world_size())]
    dist.all_gather_object(parts, items)
    return [item for part in parts for item in part]
