"""Batches without a gradient that fit the device: a part that does not is halved, and so are those after it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import torch

Result = TypeVar("Result")


def part_of(batch: Any, rows: range) -> Any:
    """The same rows of a tensor, of a list, and of everything in a dict."""
    if isinstance(batch, dict):
        return {name: part_of(each, rows) for name, each in batch.items()}
    return batch[rows.start : rows.stop]


class FittingParts:
    """Cuts samples into parts that the device has memory for.

    Args:
        at_once: samples of a part, as long as they fit.
    """

    def __init__(self, at_once: int) -> None:
        self.at_once = at_once

    def results(
        self, samples: Sequence[int], result_of: Callable[[Sequence[int]], Result]
    ) -> Iterator[tuple[Sequence[int], Result]]:
        """Every part of `samples`, in order, and what `result_of` makes of it.

        Args:
            result_of: is called again for the halves of a part that did not fit, so it must not add to anything.

        Raises:
            ValueError: where a single sample does not fit.
        """
        first = 0
        while first < len(samples):
            part = samples[first : first + self.at_once]
            try:
                result = result_of(part)
            except torch.OutOfMemoryError as error:
                too_large = str(error)
            else:
                yield part, result
                first += len(part)
                continue
            self._halve(len(part), too_large)  # here, where the error no longer holds what was allocated

    def _halve(self, samples: int, too_large: str) -> None:
        if samples == 1:
            raise ValueError(f"the device has no memory for one image: {too_large}; use a GPU with more")
        self.at_once = samples // 2
        torch.cuda.empty_cache()
        print(f"{samples} images at once do not fit the device's memory: going on with {self.at_once}", flush=True)
