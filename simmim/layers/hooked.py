"""Looking at, or replacing, what parts of a network put out, for as long as a block of code runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from torch import Tensor, nn


@contextmanager
def hooked(modules: Sequence[nn.Module], seen: Callable[[Tensor, int], Tensor | None]) -> Iterator[None]:
    """Show the outputs of modules and their numbers to a function, which may replace them."""
    handles = [
        module.register_forward_hook(lambda _, __, x, number=number: seen(x, number))
        for number, module in enumerate(modules)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
