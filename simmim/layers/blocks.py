"""The blocks of a network: what is checkpointed, sharded, compiled and counted one by one."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn


def blocks_of(network: nn.Module) -> Iterator[nn.Module]:
    """The entries of every list called `blocks` (the transformers' are)."""
    for name, module in network.named_modules():
        if name.split(".")[-1] == "blocks":
            yield from module.children()
