"""Blocks of a network, each run through `torch.compile` on its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn

from simmim.layers.checkpointing import computing_method
from simmim.train import arithmetic

_WAYS_PER_BLOCK = 4  # to call one: crops of two sizes, with gradients and without


class Blocks:
    """The blocks of a network that run compiled where `running` is open; without any, nothing is compiled.

    Equal blocks share what is compiled, for the sizes that they meet first. Those of a training stay what they are; a
    block that meets others again and again runs as it is from then on.
    """

    def __init__(self, blocks: Sequence[nn.Module] = ()) -> None:
        # Drop path and dropout draw the same as ever. What is chosen by timing is left out where bits must repeat.
        options = {"fallback_random": True} | ({"deterministic": True} if arithmetic.is_deterministic() else {})
        # A method and not the block's call: hooks (of sharding, of feature maps) run around it as ever.
        methods = [(block, computing_method(block)) for block in blocks]
        compiled = [torch.compile(getattr(*each), dynamic=False, options=options) for each in methods]
        self._methods = [(vars(block), name, method) for (block, name), method in zip(methods, compiled)]

    def __bool__(self) -> bool:
        return bool(self._methods)

    @contextmanager
    def running(self, when: bool = True) -> Iterator[None]:
        """Forward and backward passes inside run compiled; as they are where `when` is False.

        Raises:
            ValueError: for a block that cannot be compiled.
        """
        if not (self and when):
            yield
            return
        from torch._dynamo import config, exc  # here: what compiles nothing need not import it

        most = _WAYS_PER_BLOCK * len(self._methods)  # counted over all blocks of a class
        for attributes, name, compiled in self._methods:
            attributes[name] = compiled
        try:
            # optimize_ddp would cut blocks at the ends of DDP's buckets.
            with config.patch(optimize_ddp=False, recompile_limit=most, accumulated_recompile_limit=most):
                yield
        except exc.TorchDynamoException as error:
            raise ValueError(
                f"blocks cannot be compiled here ({first_line(error)}); train.compile=off does without"
            ) from error
        finally:
            for attributes, name, _ in self._methods:
                del attributes[name]


def first_line(error: Exception) -> str:
    """What kind of error it is, and how it begins to say why."""
    said = str(error).strip().partition("\n")[0]
    return said if isinstance(error, ValueError) else f"{type(error).__name__}: {said}"
