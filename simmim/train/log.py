"""The log of a training: a row every few steps, kept with the checkpoints, and the status line."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from simmim.train.batch_sampler import BatchSampler
from simmim.train.processes import Processes
from simmim.train.progress import Progress


class TrainLog:
    """Means since the last row, kept on the device, and how long the steps of that row took.

    `device_seconds` are summed over processes. They are part of the log, so a resumed run adds up the steps it is made
    of and not those that were lost.

    Args:
        history: rows so far (step, lr, loss, grad_norm, device_seconds); new ones are appended to it.
        begun: what `begun` gave when the run was saved between two rows.
    """

    def __init__(
        self,
        label: str,
        history: list[dict[str, float]],
        begun: Mapping[str, Any],
        sampler: BatchSampler,
        processes: Processes,
    ) -> None:
        self._history, self._sampler, self._processes = history, sampler, processes
        self._progress = Progress(label, sampler.start_step, sampler.steps)
        self._sums = self._sums_of(begun.get("sums", []))
        self._count = begun.get("steps", 0)
        self._began = time.monotonic() - begun.get("seconds", 0.0) / processes.world

    def __enter__(self) -> TrainLog:
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.close()

    def add(self, loss: Tensor, norm: Tensor) -> None:
        """Take in one step."""
        self._sums += torch.stack((loss, norm))
        self._count += 1

    def write_row(self, step: int, learning_rate: float) -> None:
        """Append the means over the steps since the last row; every process must call it."""
        world = self._processes.world
        if world > 1:
            dist.all_reduce(self._sums)
        loss, norm = (self._sums / (self._count * world)).tolist()
        self._sums.zero_()
        self._count = 0
        now = time.monotonic()  # the numbers above have waited for the device
        seconds, self._began = (now - self._began) * world, now
        row = {"step": step, "lr": learning_rate, "loss": loss, "grad_norm": norm, "device_seconds": seconds}
        self._history.append(row)

    def begun(self) -> dict[str, Any]:
        """What there is of the next row, for a checkpoint between two; every process must call it."""
        if not self._count:
            return {}
        each = [self._sums]
        if self._processes.world > 1:
            each = [torch.empty_like(self._sums) for _ in range(self._processes.world)]
            dist.all_gather(each, self._sums)
        seconds = (time.monotonic() - self._began) * self._processes.world
        return {"sums": [sums.tolist() for sums in each], "steps": self._count, "seconds": seconds}

    def _sums_of(self, begun: list[list[float]]) -> Tensor:
        """This process's sums; where there were more or fewer processes, the first one takes all."""
        processes = self._processes
        own = torch.zeros(2, dtype=torch.float64, device=processes.device)
        if len(begun) == processes.world:
            return own + own.new_tensor(begun[processes.rank])
        if not begun or not processes.is_main_process:
            return own
        return own + own.new_tensor(begun).mean(0) * processes.world  # each step counts as many processes as now

    def show(self, step: int, learning_rate: float) -> None:
        """Renew the status line, on the main process, if that is due."""
        if self._processes.is_main_process and self._history and self._progress.due(step):
            loss, epoch = self._history[-1]["loss"], self._sampler.epoch(step)
            self._progress.show(step, epoch, loss, learning_rate, self._sampler.batch)
