"""Saves a training every so many steps, every so many minutes, at its end, and when it is asked to stop."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.distributed as dist

from simmim import stopping
from simmim.config.training import TrainSettings
from simmim.train.processes import Processes, wait_for_all

_AGREE_EVERY = 5.0  # seconds


class Saver:
    """Asked after every update, in step on all processes.

    These agree every few seconds whether anything is due: agreeing waits for the device.

    Args:
        label: what is trained.
        steps: updates left to do.
        write: writes a checkpoint of a `step` and what is `begun` of the log; every process calls it.
    """

    def __init__(
        self,
        label: str,
        steps: range,
        settings: TrainSettings,
        processes: Processes,
        write: Callable[..., None],
    ) -> None:
        self._label, self._last, self._processes, self._write = label, steps.stop, processes, write
        self._every_steps, self._every_seconds = settings.save_every_steps, 60 * settings.save_every_minutes
        self._saved = self._agreed_at = time.monotonic()
        self._agreed = self._next = steps.start
        self._stop = ""

    def due(self, step: int) -> bool:
        """Whether a checkpoint of this step is to be written."""
        late = self._agree(step, bool(stopping.reason()), time.monotonic() - self._saved > self._every_seconds)
        return bool(self._stop) or late or step == self._last or step % self._every_steps == 0

    def save(self, step: int, begun: Mapping[str, Any]) -> None:
        """Write a checkpoint.

        Raises:
            Stopped: afterwards, where that was asked for and there are updates left.
        """
        self._write(step=step, begun=begun)
        self._saved = time.monotonic()
        if self._stop and step < self._last:
            wait_for_all()  # one that leaves has the others ended, of which the main process may still write
            raise stopping.Stopped(f"{self._stop}; {self._label} is saved at step {step}; the same command goes on")

    def _agree(self, step: int, stop: bool, late: bool) -> bool:
        """Whether it is late for any process; notes why to stop."""
        if self._processes.world > 1:
            if step < self._next:
                return False
            stop, late = self._over_all(step, stop, late)
        self._stop = stopping.reason() or "another process was asked to stop" if stop else ""
        return late

    def _over_all(self, step: int, stop: bool, late: bool) -> tuple[bool, bool]:
        now, done = time.monotonic(), step - self._agreed
        seconds = (now - self._agreed_at) / max(1, done)
        agreed = torch.tensor([float(stop), float(late), seconds], device=self._processes.device)
        dist.all_reduce(agreed, dist.ReduceOp.MAX)
        stops, lates, slowest = agreed.tolist()
        pause = min(2 * done + 1, int(_AGREE_EVERY / max(slowest, 1e-6)))  # the first steps are slow ones
        self._agreed, self._next, self._agreed_at = step, step + max(1, pause), now
        return stops > 0, lates > 0
