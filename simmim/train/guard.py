"""Stops a training whose numbers are not finite any more, before they reach the weights."""

from __future__ import annotations

import json
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor

from simmim.storage.files import write_text
from simmim.train.batch_sampler import BatchSampler
from simmim.train.processes import Processes
from simmim.train.task import TrainData


class NonFiniteLoss(ArithmeticError):
    """A loss or gradient was not finite; the weights are those from before that step."""


class Guard:
    """Stops a run whose loss or gradient is not finite before the update, without waiting for the device each step.

    The fused optimiser itself skips an update while `found_inf` is set, so the host may look later.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, processes: Processes) -> None:
        self._found = optimizer.found_inf = torch.zeros((), device=processes.device)
        self._first_step = torch.full((), -1, device=processes.device)
        self._world = processes.world
        self.is_free = processes.device.type == "cpu"  # looking costs nothing where there is no queue to wait for

    def watch(self, step: int, loss: Tensor, norm: Tensor) -> None:
        """Before the update of `step`: note a loss or gradient norm that is not finite, on any process."""
        bad = (~(torch.isfinite(loss) & torch.isfinite(norm))).float()
        if self._world > 1:
            dist.all_reduce(bad, dist.ReduceOp.MAX)
        # Not `where`, which would copy the number to the device and wait for that.
        self._first_step.masked_fill_((bad > 0) & (self._first_step < 0), step)
        self._found.copy_(torch.maximum(self._found, bad))

    def check(self, sampler: BatchSampler, data: TrainData, state: Path) -> None:
        """Look, which waits for the device.

        Raises:
            NonFiniteLoss: names the step and its samples, which are listed in `state/nonfinite.json`.
        """
        step = int(self._first_step)
        if step < 0:
            return
        report = state / "nonfinite.json"
        samples = list_samples(report, step, sampler, data)
        raise NonFiniteLoss(
            f"the loss or gradient of step {step} is not finite; no update was made. Its {len(samples)} samples, "
            f"listed in {report}, begin with {', '.join(samples[:4])}. Lower train.base_lr or clip_norm, "
            "or look at these images."
        )


def list_samples(report: Path, step: int, sampler: BatchSampler, data: TrainData, **about: float) -> list[str]:
    """The names of a step's samples, which are written to `report` with the step and what else there is about it."""
    names = data.sample_ids
    samples = [names[index] for _, index in sampler.keys(step)]
    write_text(report, json.dumps({"step": step, **about, "samples": samples}))
    return samples
