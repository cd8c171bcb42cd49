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
    """Losses and gradient norms since the last row, kept on the device, and how long the steps of that row took.

    A row has their means and, for `simmim.train.spikes`, the largest of each.

    `device_seconds` are summed over processes, and `wait_seconds`, what of them went by waiting for data, as long
    as on this one. They are part of the log, so a resumed run adds up the steps it is made of and not those that were
    lost.

    Args:
        history: rows so far (step, lr, loss, grad_norm, max_loss, max_grad_norm, device_seconds, wait_seconds); new
            ones come to it.
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
        # Of the main process only: a line of another would be repeated without end.
        self._progress = Progress(label, sampler.start_step, sampler.steps) if processes.is_main_process else None
        self._updates = [*self._updates_of(_begun_updates(begun))]
        self._began = time.monotonic() - begun.get("seconds", 0.0) / processes.world
        self._waited = -begun.get("wait_seconds", 0.0) / processes.world  # before this row

    def __enter__(self) -> TrainLog:
        return self

    def __exit__(self, *error: object) -> None:
        if self._progress:
            self._progress.close()

    def add(self, loss: Tensor, norm: Tensor) -> None:
        """Take in one step."""
        self._updates.append(torch.stack((loss, norm)).double())

    def write_row(self, step: int, learning_rate: float, waited: float) -> list[tuple[float, float]]:
        """Append a row, which every process must call for; returns loss and gradient norm of each of its updates.

        Args:
            waited: seconds for data, since this process began.
        """
        world = self._processes.world
        updates = torch.stack(self._updates)
        if world > 1:
            dist.all_reduce(updates)
        updates = (updates / world).cpu()
        self._updates.clear()
        loss, norm = updates.mean(0).tolist()
        max_loss, max_norm = updates.amax(0).tolist()
        now = time.monotonic()  # the numbers above have waited for the device
        seconds, self._began = (now - self._began) * world, now
        row = {"step": step, "lr": learning_rate, "loss": loss, "grad_norm": norm, "device_seconds": seconds}
        row |= {"max_loss": max_loss, "max_grad_norm": max_norm, "wait_seconds": (waited - self._waited) * world}
        self._history.append(row)
        self._waited = waited
        return [(loss, norm) for loss, norm in updates.tolist()]

    def begun(self, waited: float) -> dict[str, Any]:
        """What there is of the next row, for a checkpoint between two; every process must call it."""
        if not self._updates:
            return {}
        own = torch.stack(self._updates)
        each = [own]
        if self._processes.world > 1:
            each = [torch.empty_like(own) for _ in range(self._processes.world)]
            dist.all_gather(each, own)
        seconds = (time.monotonic() - self._began) * self._processes.world
        wait_seconds = (waited - self._waited) * self._processes.world
        return {"updates": [updates.tolist() for updates in each], "seconds": seconds, "wait_seconds": wait_seconds}

    def _updates_of(self, begun: list[list[list[float]]]) -> Tensor:
        """This process's updates [k, 2]; where there were more or fewer processes, the first one takes all."""
        processes = self._processes
        if not begun:
            return torch.zeros(0, 2)
        each = torch.tensor(begun, dtype=torch.float64, device=processes.device)  # [processes, k, 2]
        if len(begun) == processes.world:
            return each[processes.rank]
        if not processes.is_main_process:
            return torch.zeros_like(each[0])
        return each.mean(0) * processes.world  # each update counts as many processes as now

    def show(self, step: int, learning_rate: float, waited_seconds: float) -> None:
        """Renew the status line, on the main process, if that is due; before the first row with the last loss.

        Args:
            waited_seconds: for data, since the training began.
        """
        if self._progress and self._progress.due(step):
            loss = self._history[-1]["loss"] if self._history else self._updates[-1][0].item()
            epoch, batch = self._sampler.epoch(step), self._sampler.batch
            self._progress.show(step, epoch, loss, learning_rate, batch, waited_seconds)


def _begun_updates(begun: Mapping[str, Any]) -> list[list[list[float]]]:
    """The updates [processes, k, 2] of a row that was begun; earlier versions kept their sums, so these count alike."""
    if "sums" not in begun:
        return begun.get("updates", [])
    steps = begun["steps"]
    return [[[value / steps for value in sums]] * steps for sums in begun["sums"]]
