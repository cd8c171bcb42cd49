"""Batches on their way from the disk to the device: decoded by workers, copied while the device computes."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader

from simmim import stopping
from simmim.machine import cpus

_MOST_WORKERS = 8
_LONGEST_WAIT = 1200  # seconds for one batch of a worker, then it is an error


def loader(data: Any, batches: Iterable[Sequence[Any]], workers: int, device: torch.device) -> DataLoader:
    """What `data.__getitems__` gives for each of some batches of keys, in pinned memory where it goes to a GPU.

    Args:
        workers: processes that decode; with 0 this one does.
    """
    own = {"num_workers": workers, "worker_init_fn": _leave_signals, "timeout": _LONGEST_WAIT if workers else 0}
    return DataLoader(data, batch_sampler=batches, collate_fn=_as_it_is, pin_memory=device.type == "cuda", **own)


def read_ahead(data: Any, batches: Iterable[Sequence[Any]], device: torch.device) -> DataLoader:
    """The same for scores and features: a GPU computes while the cores that are left to this process decode."""
    return loader(data, batches, spare_cores() if device.type == "cuda" else 0, device)


class Waited:
    """Batches one after another, and the seconds that their reader has waited for them."""

    def __init__(self, batches: Iterable[Any]) -> None:
        self._batches, self.seconds = iter(batches), 0.0

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        began = time.perf_counter()
        batch = next(self._batches)
        self.seconds += time.perf_counter() - began
        return batch

    def peek(self, count: int) -> list[Any]:
        """The next batches, which are still to come; waiting for them does not count."""
        first = list(itertools.islice(self._batches, count))
        self._batches = itertools.chain(first, self._batches)
        return first


def spare_cores() -> int:
    """Cores that decode beside this process, at most eight: its share of those that the job was given, but one."""
    return max(0, min(_MOST_WORKERS, cpus() // int(os.environ.get("LOCAL_WORLD_SIZE", 1)) - 1))


def to_device(batch: Any, device: torch.device) -> Any:
    """The same batch with its tensors on a device; the host does not wait for copies from pinned memory.

    What has a `to_device` of its own becomes what that makes there (`simmim.data.device_crops`).
    """
    if torch.is_tensor(batch):
        return batch.to(device, non_blocking=True)
    if hasattr(batch, "to_device"):
        return batch.to_device(device)
    if isinstance(batch, dict):
        return {key: to_device(value, device) for key, value in batch.items()}
    return [to_device(value, device) for value in batch] if isinstance(batch, list) else batch


def _leave_signals(worker: int) -> None:
    stopping.leave_to_parent()


def _as_it_is(batch: Any) -> Any:
    return batch
