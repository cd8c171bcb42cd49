"""What dense scores need of several processes: one set of buffers, all predictions in one place."""

from __future__ import annotations

from typing import Any

import torch.distributed as dist
from torch import nn

from simmim.train.processes import of_all_processes


def copy_buffers_from_first(module: nn.Module) -> None:
    """Give every process the first one's buffers: batch statistics differ between processes, and scores must not."""
    if dist.is_initialized():
        for buffer in module.buffers():
            dist.broadcast(buffer, src=0)


def gathered(items: list[Any]) -> list[Any]:
    """The items of all processes, on each of them."""
    return [item for part in of_all_processes(items) for item in part]
