"""One process or many (torchrun): device, rank, and the hardware's number format."""

from __future__ import annotations

import os
import random
import resource
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import nn

from simmim.config.training import TrainSettings
from simmim.machine import cpu_name, keep_freed_memory
from simmim.rng import libraries_left_alone, seed_for
from simmim.stopping import Stopped
from simmim.train import arithmetic
from simmim.train.device import chosen_device, has_bf16

# For another process: longer than any works alone (scores of COCO, k-means, checkpoints of 3 billion parameters).
LONGEST_WAIT = timedelta(hours=1)
Found = TypeVar("Found")


@dataclass(frozen=True)
class Processes:
    """Where this process stands. `nccl` joins GPUs, `gloo` joins CPUs."""

    rank: int
    world: int
    device: torch.device

    @property
    def is_main_process(self) -> bool:
        """Whether this process writes files and prints."""
        return self.rank == 0


@contextmanager
def joined_processes() -> Iterator[Processes]:
    """Join the group that torchrun set up, if there is one, choose this process's device, and leave at the end.

    After an error there is no leave-taking, which would wait for processes that wait for this one: it ends, and
    torchrun ends the others.

    Raises:
        ValueError: where a GPU was promised and cannot be used.
    """
    rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    device = chosen_device()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    else:
        keep_freed_memory()
    if world > 1 and not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=LONGEST_WAIT)
    # In Python, who asked for the work draws from the generators that it seeds, before and after.
    of_torch = torch.random.fork_rng([device] if device.type == "cuda" else [])
    with libraries_left_alone(), of_torch, arithmetic.fixed():
        yield Processes(rank, world, device)
    if dist.is_initialized():
        dist.destroy_process_group()


def autocast_dtype(precision: str, device: torch.device) -> torch.dtype | None:
    """bfloat16 where asked for or, under 'auto', where the hardware has it; None stands for plain float32."""
    if precision == "fp32":
        return None
    if precision == "bf16":
        return torch.bfloat16
    if precision != "auto":
        raise ValueError(f"train.precision '{precision}' must be auto, bf16 or fp32")
    return torch.bfloat16 if has_bf16(device) else None


def share_batch_statistics(module: nn.Module, processes: Processes) -> None:
    """Let batch norms see the micro-batches of all GPUs, as pre-training expects; PyTorch has this for GPUs only.

    Parameters and buffers stay the same objects under the same names, so checkpoints do not depend on it.
    """
    if processes.world > 1 and processes.device.type == "cuda":
        from timm.layers import convert_sync_batchnorm  # PyTorch's loses the activations that timm has inside its norms

        convert_sync_batchnorm(module)


def seed_libraries(seed: int, step: int, rank: int) -> None:
    """Seed every generator a library may draw from, so that a step's draws need no saved state to be repeated."""
    value = seed_for(seed, step, rank, "step")
    random.seed(value)
    np.random.seed(value)
    torch.manual_seed(value)


def environment(
    processes: Processes, dtype: torch.dtype | None, training: TrainSettings | None = None, data: Any = None
) -> dict[str, str | int | bool]:
    """What besides the config can change the last bits of a result, of a training with the images of a micro-batch.

    Args:
        data: of a training; where its crops are cut.
    """
    at_once = {"images_at_once": training.images_at_once(processes.world)} if training else {}
    return at_once | {
        "crop_on": getattr(data, "crop_on", "host"),
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name() if processes.device.type == "cuda" else cpu_name(),
        "processes": processes.world,
        "threads": torch.get_num_threads(),
        "precision": "bf16" if dtype else "fp32",
        **arithmetic.used(),
    }


def peak_bytes(device: torch.device, parts: Iterable[Mapping[str, Any]] = ()) -> int:
    """The most memory that this process has held: tensors on its GPU, or without one everything, libraries too.

    Args:
        parts: of a training, whose earlier processes may have held more.
    """
    before = max((part.get("peak_bytes", 0) for part in parts), default=0)
    if device.type == "cuda":
        return max(before, torch.cuda.max_memory_allocated(device))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return max(before, peak if sys.platform == "darwin" else 1024 * peak)  # bytes there, kilobytes elsewhere


def told_by_main(look: Callable[[], Found], processes: Processes) -> Found:
    """What the main process finds, on every process, or its error.

    What there is to do is looked up once: another node may list a folder as it was before, and processes that go
    different ways wait for each other, or train together from different weights.

    Raises:
        OSError, ValueError: what the main process came upon.
    """
    if processes.world == 1:
        return look()
    told: list[Any] = [None, None]
    if processes.is_main_process:
        try:
            told[0] = look()
        except (OSError, ValueError) as error:
            told[1] = error
    dist.broadcast_object_list(told)
    if told[1] is not None:
        raise told[1]
    return told[0]


def wait_for_all() -> None:
    """Return when every process has come here."""
    if dist.is_initialized():
        dist.barrier()


def of_all_processes(value: Any) -> list[Any]:
    """The value of every process, the main one's first, on each of them."""
    if not dist.is_initialized():
        return [value]
    every = [None] * dist.get_world_size()
    dist.all_gather_object(every, value)
    return every


@contextmanager
def stopping_together() -> Iterator[None]:
    """Leave the block when all processes have: all by `Stopped` where one was asked to stop.

    One alone would be believed: torchrun asks all others to stop where one dies, and a death is no stop.
    """
    stop = None
    try:
        yield
    except Stopped as error:
        stop = error
    if any(of_all_processes(stop is not None)):
        raise stop or Stopped("another process was asked to stop; the same command goes on")


def my_share(samples: int) -> range:
    """The samples this process evaluates; over all processes each comes exactly once."""
    if not dist.is_initialized():
        return range(samples)
    return range(dist.get_rank(), samples, dist.get_world_size())


def my_batches(samples: int, at_once: int) -> Iterator[range]:
    """This process's share, in parts of `at_once`."""
    mine = my_share(samples)
    return (mine[first : first + at_once] for first in range(0, len(mine), at_once))


def sum_over_processes(values: torch.Tensor) -> torch.Tensor:
    """The sum of a tensor over all processes, on each of them."""
    if dist.is_initialized():
        dist.all_reduce(values)
    return values
