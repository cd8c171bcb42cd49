"""Whether blocks are compiled while they train: by a setting, or where a trial finds it worth it.

What runs compiled are the forward and backward passes of the training, block by block; checkpoints, watchers and scores
see the network as it is.
"""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from simmim.config.training import Compile
from simmim.layers.blocks import blocks_of
from simmim.train import arithmetic
from simmim.train.batch_sampler import BatchSampler
from simmim.train.compiled_blocks import Blocks, first_line
from simmim.train.gradients import batches_of_a_pass, joined, loss_of
from simmim.train.processes import Processes, of_all_processes, seed_libraries
from simmim.train.progress import busy
from simmim.train.reading import Waited
from simmim.train.sharding import is_sharded
from simmim.train.task import TrainTask
from simmim.train.watchdog import Watchdog

_TRIED_ON = "cuda"  # on a CPU compiling takes longer than it saves
_LEAST_STEPS, _LEAST_SECONDS = 200, 600  # left to do: a trial takes a minute or more
_TRIAL_MINUTES = 60.0  # and where every block of a large network has a drop path of its own, many
_WARM_UP, _PASSES = 3, 10
_LEAST_GAIN = 1.05
# How far apart losses, and the norms of gradients, may be, relatively: fused operations round less often. In bfloat16
# gradients of Swin-B, ViT-B and a micro Swin are 3e-3 to 7e-3 away from those in float32, and the last one's are 6e-3
# apart with and without compiling, in float32 7e-7 (on a CPU).
_FURTHEST_APART = {None: 1e-4, torch.bfloat16: 3e-2}
_Pass = Callable[[], tuple[Tensor, tuple[Tensor | None, ...]]]  # a loss, and the gradients of all parameters


def chosen_blocks(
    setting: Compile,
    before: bool | None,
    label: str,
    task: TrainTask,
    batches: Waited,
    sampler: BatchSampler,
    processes: Processes,
) -> Blocks:
    """The blocks that a training is to run compiled; every process calls it, and all get the same answer.

    Args:
        setting: "auto" tries on a GPU, unless sizes vary, weights are sharded or bits must repeat.
        before: what an earlier part of the training has decided, which then holds for "auto".
        batches: of the training; a trial takes none of them away.
    """
    found = list(blocks_of(task))
    if setting == "on" and not found and processes.is_main_process:
        print(f"{label}: train.compile=on: no list called `blocks` is in this network, nothing is compiled", flush=True)
    if setting != "auto":
        return Blocks(found if setting == "on" else ())
    left_alone = task.varying_shapes or is_sharded(task) or arithmetic.is_deterministic()
    if not found or processes.device.type != _TRIED_ON or left_alone:
        return Blocks()
    before = of_all_processes(before)[0]
    if before is None and sampler.steps - sampler.start_step >= _LEAST_STEPS:
        return _tried(label, task, batches, sampler, processes)
    return Blocks(found if before else ())


class _Trial(NamedTuple):
    """What a process has found; `failed` where its trial ended in an error."""

    is_worth_it: bool
    words: str
    failed: bool = False


class _Measured(NamedTuple):
    """Median of the passes' seconds, their loss, and the norm of each parameter's gradient."""

    seconds: float
    loss: Tensor
    norms: Tensor


def _tried(label: str, task: TrainTask, batches: Waited, sampler: BatchSampler, processes: Processes) -> Blocks:
    """Compiled blocks if the main process finds them worth it, which it tells, and no process fails to compile any."""
    device, trained = processes.device, [each for each in task.parameters() if each.requires_grad]
    together = batches_of_a_pass(task, sampler.accumulation)

    def one_pass() -> tuple[Tensor, tuple[Tensor | None, ...]]:
        seed_libraries(sampler.seed, sampler.start_step, processes.rank)
        loss = loss_of(task, task, batch, device)
        return loss.detach(), torch.autograd.grad(loss, trained, allow_unused=True)  # leaves those of the task alone

    with Watchdog(label, _TRIAL_MINUTES), busy(f"{label}: trying compiled blocks"):
        batch = joined(batches.peek(together), device)
        plain = _measured(task, one_pass, device)
        passes = (sampler.steps - sampler.start_step) * (sampler.accumulation // together)
        if of_all_processes(plain.seconds)[0] * passes < _LEAST_SECONDS:
            return Blocks()
        blocks = Blocks(list(blocks_of(task)))
        every = of_all_processes(_compared(task, one_pass, plain, blocks, device))
    if device.type == "cuda":  # its memory is none of the training's
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    trial = next((each for each in every if each.failed), every[0])
    if processes.is_main_process:
        print(f"{label}: compiled blocks: {trial.words}", flush=True)
    return blocks if trial.is_worth_it else Blocks()


def _compared(task: TrainTask, one_pass: _Pass, plain: _Measured, blocks: Blocks, device: torch.device) -> _Trial:
    """Compiled passes beside plain ones."""
    try:
        with blocks.running():
            compiled = _measured(task, one_pass, device)
    except Exception as error:  # whatever it is, the training can do without
        return _Trial(False, f"off, {first_line(error)}", failed=True)
    gain, furthest = plain.seconds / compiled.seconds, _FURTHEST_APART[task.autocast_dtype]
    loss = ((compiled.loss - plain.loss) / plain.loss).abs().item()
    norms = ((compiled.norms - plain.norms).norm() / plain.norms.norm()).item()
    is_worth_it = gain >= _LEAST_GAIN and loss <= furthest and norms <= furthest
    words = f"{gain:.2f}x, loss differs by {loss:.0e}, gradients by {norms:.0e}: {'on' if is_worth_it else 'off'}"
    return _Trial(is_worth_it, words)


def _measured(task: TrainTask, one_pass: _Pass, device: torch.device) -> _Measured:
    seconds = []
    for _ in range(_WARM_UP + _PASSES):
        with _left_as_it_was(task):
            began = _now(device)
            loss, gradients = one_pass()
            seconds.append(_now(device) - began)
        norms = torch.stack([torch.zeros_like(loss) if each is None else each.norm() for each in gradients])
        del gradients  # those of the next pass take their place
    return _Measured(statistics.median(seconds[_WARM_UP:]), loss, norms)


def _now(device: torch.device) -> float:
    """Seconds, once the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


@contextmanager
def _left_as_it_was(task: nn.Module) -> Iterator[None]:
    """Put back what forward passes change in a task: buffers, and what its modules note in attributes of their own."""
    buffers = [(each, each.clone()) for each in task.buffers()]
    attributes = [vars(module) for module in task.modules()]
    noted = [each for own in attributes for each in own.values() if isinstance(each, list | dict | set)]
    before = [(each, copy.copy(each)) for each in (*attributes, *noted)]
    try:
        yield
    finally:
        for each, contents in before:  # in place, for others may hold them
            each.clear()
            each.extend(contents) if isinstance(each, list) else each.update(contents)
        for buffer, values in buffers:
            buffer.copy_(values)
