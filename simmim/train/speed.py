"""How fast a training was, and how near to what its device can do.

    mfu    3 x FLOPs of an image's forward pass x images a second and device / peak rate of the device, in percent

as `simmim plan` counts them: what is computed again where activations are checkpointed is not counted, a pass
without a gradient (DINO's teacher) like one with. The peak is that of the data sheet for a card that
`simmim.train.gpus` lists, and measured elsewhere: matrix products of this process, in the training's number format.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from simmim.train import gpus
from simmim.train.processes import Processes

METRICS = frozenset({"train_seconds", "images_per_second", "data_wait", "mfu", "peak_tflops"})  # what `cost` returns
_PASSES = 3  # forward, and twice as much backward
_SIDE = {"cpu": 512, "cuda": 8192}  # of the matrices whose product is timed
_PRODUCTS = 10


class ForwardFlops:
    """Counts what one update's forward passes compute, once for each part of a training; nothing runs compiled then.

    Args:
        part: of the training, which keeps the FLOPs of an image as `forward_flops`.
        images: of an update, on this process.
    """

    def __init__(self, part: dict[str, Any], images: int) -> None:
        self._part, self._images, self._flops = part, images, 0

    @property
    def are_known(self) -> bool:
        """Whether an update has been counted."""
        return "forward_flops" in self._part

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Around each forward pass; the numbers that it computes stay the same bits."""
        if self.are_known:
            yield
            return
        from torch.utils.flop_counter import FlopCounterMode  # takes a while, and a part needs it once

        with FlopCounterMode(display=False) as counter:
            yield
        self._flops += counter.get_total_flops()

    def update_is_done(self) -> None:
        """Keep the sum."""
        self._part.setdefault("forward_flops", self._flops / self._images)


def cost(
    log: Sequence[Mapping[str, float]],
    images: int,
    part: Mapping[str, Any],
    processes: Processes,
    dtype: torch.dtype | None,
) -> dict[str, float]:
    """What the updates of a log have cost.

    Args:
        log: of the whole training.
        images: that it saw.
        part: the last one of the training.
        dtype: number format of the training, None for float32.

    Returns:
        train_seconds: of all devices together (Table 6 compares them).
        images_per_second: of all devices together.
        data_wait: percent of the time that went by waiting for data.
        mfu, peak_tflops: percent, and the rate of a device in 1e12 FLOP/s that it is a share of; of a training whose
            FLOPs are known.
    """
    seconds, waited = (sum(row.get(name, 0.0) for row in log) for name in ("device_seconds", "wait_seconds"))
    if not seconds:
        return {"train_seconds": 0.0, "images_per_second": 0.0, "data_wait": 0.0}
    speed = images / seconds  # of one device
    found = {
        "train_seconds": seconds,
        "images_per_second": speed * processes.world,
        "data_wait": 100 * waited / seconds,
    }
    if "forward_flops" not in part:  # trained by an earlier version
        return found
    peak = peak_tflops(processes.device, dtype)
    return found | {"mfu": 100 * _PASSES * part["forward_flops"] * speed / (1e12 * peak), "peak_tflops": peak}


@functools.cache
def peak_tflops(device: torch.device, dtype: torch.dtype | None) -> float:
    """The peak rate of matrix products of a device in a number format, in 1e12 FLOP/s."""
    if device.type == "cuda":
        gpu = gpus.of_driver_name(torch.cuda.get_device_name(device))
        if gpu and gpu.has_bf16 == (dtype is torch.bfloat16):
            return gpu.peak_tflops
    side = _SIDE[device.type]
    matrix = torch.ones(side, side, dtype=dtype or torch.float32, device=device)
    return 2 * side**3 / min(_seconds(matrix) for _ in range(_PRODUCTS)) / 1e12


def _seconds(matrix: torch.Tensor) -> float:
    """Of one product."""
    began = time.perf_counter()
    (matrix @ matrix)[0, 0].item()  # waits for the device
    return time.perf_counter() - began
