"""The one training loop: pre-training, fine-tuning, probes, detection and segmentation all go through `fit`."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset

from simmim.config.differences import refuse_changed
from simmim.config.training import TrainSettings
from simmim.train import checkpoint
from simmim.train.batch_sampler import Plan
from simmim.train.guard import Guard
from simmim.train.processes import Processes, autocast_dtype, environment, seed_libraries, share_batch_statistics
from simmim.train.progress import Progress
from simmim.train.schedule import learning_rate
from simmim.train.sharding import clip_gradients, gather, is_sharded, shard


def fit(
    task: nn.Module, dataset: Dataset, groups: list[dict[str, Any]], settings: TrainSettings, *, seed: int, state: Path,
    config: Mapping[str, Any], processes: Processes, label: str, start: Path | None = None, stop: Path | None = None,
) -> list[dict[str, float]]:  # fmt: skip
    """Train `task` in place, going on from the newest checkpoint in `state`.

    Args:
        task: `task(batch)` is the mean loss of a batch. One that sets `own_autocast` is given the number format
            as `autocast_dtype` instead of being wrapped; `after_update(step, steps)` of one that has it is called when
            `step` updates are done.
        dataset: `dataset.__getitems__([(epoch, sample), ...])` is a whole batch: a dict of tensors and lists.
        groups: parameter groups; each may carry `lr_scale`.
        config: completed config; a checkpoint made with another one is refused.
        label: name of the run on the status line.
        start: a checkpoint that `stop` wrote, to begin with where `state` holds none.
        stop: train up to the first milestone only and write the checkpoint there, as this folder.

    Returns:
        One dict (step, loss, lr, grad_norm, process_seconds) every `log_every_steps` steps, from the run's very start.
    """
    steps = settings.steps(len(dataset))
    last = settings.first_stage_steps(len(dataset)) if stop else steps
    plan = Plan(
        len(dataset), settings.batch, settings.micro_batch, last, seed,
        processes.world, processes.rank, settings.repeats,
    )  # fmt: skip
    dtype, outer_dtype = _precision(task, settings, processes)
    trained, module, groups = _spread(task, groups, settings, processes)
    optimizer = torch.optim.AdamW(groups, lr=0.0, betas=settings.betas, fused=True)
    history, first = _resume(state, trained, optimizer, config, label, start)
    manifest = {"config": config, "environment": environment(processes, dtype)}
    guard, window, progress = Guard(optimizer, processes), _Window(processes), Progress(label, first, plan.steps)
    after_update = getattr(trained, "after_update", None)
    batches = iter(_loader(dataset, plan, first, settings.workers, processes))
    for step in range(first, plan.steps):
        lr = set_learning_rates(optimizer, settings, step, steps, len(dataset))
        seed_libraries(seed, step, processes.rank)
        loss = _accumulate_gradients(module, batches, plan.accumulation, outer_dtype, processes.device)
        norm = clip_gradients(trained.parameters(), settings.clip_norm or float("inf"))
        guard.watch(step, loss, norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        window.add(loss, norm)
        done = step + 1
        if after_update:
            after_update(done, steps)
        logging = done % settings.log_every_steps == 0 or done == plan.steps
        saving = done % settings.save_every_steps == 0 and done < plan.steps
        if logging or saving or guard.is_free:
            guard.check(plan, dataset, state)
        if logging:
            history.append({"step": done, "lr": lr, **window.means()})
        if processes.leads and history and progress.due(done):
            progress.show(done, plan.epoch(done), history[-1]["loss"], lr, plan.batch)
        if saving:
            checkpoint.save(state, done, trained, optimizer, processes.leads, history=history, **manifest)
    if stop:
        checkpoint.write(stop, plan.steps, trained, optimizer, processes.leads, history=history, **manifest)
    if trained is not task:
        gather(trained, task, processes.device)
    return history


def set_learning_rates(
    optimizer: torch.optim.Optimizer, settings: TrainSettings, step: int, steps: int, samples: int
) -> float:
    """Give every parameter group its rate for this step; returns the rate of a group with scale 1."""

    def rate(scale: float) -> float:
        return learning_rate(
            step,
            peak=settings.base_lr * settings.lr_factor * scale,
            schedule=settings.schedule,
            steps=steps,
            warmup_steps=round(settings.warmup_epochs * samples / settings.batch),
            warmup_lr=settings.warmup_lr * settings.lr_factor,
            min_lr=settings.min_lr * settings.lr_factor,
            milestones=[round(share * steps) for share in settings.milestones],
            gamma=settings.gamma,
            warmup_offset=not settings.released_cosine,
        )

    for group in optimizer.param_groups:
        group["lr"] = rate(group.get("lr_scale", 1.0))
    return rate(1.0)


def _precision(task, settings, processes) -> tuple[torch.dtype | None, torch.dtype | None]:
    """The number format of the training, and what the whole task is wrapped in: None where it has been handed that."""
    dtype = autocast_dtype(settings.precision, processes.device)
    if not getattr(task, "own_autocast", False):
        return dtype, dtype
    task.autocast_dtype = dtype
    return dtype, None


def _spread(task, groups, settings, processes) -> tuple[nn.Module, nn.Module, list[dict[str, Any]]]:
    """What has the weights (`task`, or the parts of a sharded copy), what is to be called, and the groups."""
    share_batch_statistics(task.train(), processes)
    if settings.sharded and processes.world > 1:
        sharded, groups = shard(task, groups, processes)
        return sharded, sharded, groups
    task.to(processes.device)
    return task, DistributedDataParallel(task, broadcast_buffers=False) if processes.world > 1 else task, groups


def _accumulate_gradients(module, batches, accumulation, dtype, device) -> Tensor:
    """Forward and backward over one step's micro-batches; gradients are averaged over them and over the processes."""
    replicated = isinstance(module, DistributedDataParallel)  # sharded gradients are never kept whole between them
    keep_casts = not is_sharded(module)  # casts that are kept would add up to the whole model
    total = torch.zeros((), device=device)
    for turn in range(accumulation):
        batch = to_device(next(batches), device)
        last = turn == accumulation - 1
        skip_sync = module.no_sync() if replicated and not last else contextlib.nullcontext()
        with skip_sync:
            with torch.autocast(device.type, dtype, enabled=dtype is not None, cache_enabled=keep_casts):
                loss = module(batch) / accumulation
            loss.backward()
        total += loss.detach()
    return total


def to_device(batch: Any, device: torch.device) -> Any:
    """The same batch with its tensors on a device."""
    if torch.is_tensor(batch):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, dict):
        return {key: to_device(value, device) for key, value in batch.items()}
    return [to_device(value, device) for value in batch] if isinstance(batch, list) else batch


def _loader(dataset: Dataset, plan: Plan, start: int, workers: int, processes: Processes) -> Iterator[dict]:
    return DataLoader(
        dataset,
        batch_sampler=_MicroBatches(plan, start),
        collate_fn=_as_it_is,
        num_workers=workers,
        pin_memory=processes.device.type == "cuda",
    )


class _MicroBatches:
    """The plan's micro-batches as a batch sampler, so that a resumed run reads nothing twice."""

    def __init__(self, plan: Plan, start: int) -> None:
        self._plan, self._start = plan, start

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        return self._plan.micro_batches(self._start)


def _as_it_is(batch: dict) -> dict:
    return batch


def _resume(state, task, optimizer, config, label, start) -> tuple[list[dict[str, float]], int]:
    found = checkpoint.newest(state)
    if found is None and start is None:
        return [], 0
    path, manifest = found or (start, checkpoint.verified_manifest(start))
    if found:
        refuse_changed(path, manifest["config"], config, remove=state)
    checkpoint.restore(path, task, optimizer)
    print(f"{label}: going on from step {manifest['step']}", flush=True)
    return manifest["history"], manifest["step"]


class _Window:
    """Mean loss and gradient norm since the last log row, kept on the device, and what that window took.

    The time is summed over processes. It is kept in the log, so a resumed run adds up the steps it is made of and not
    those that were lost.
    """

    def __init__(self, processes: Processes) -> None:
        self._sums = torch.zeros(2, dtype=torch.float64, device=processes.device)
        self._count = 0
        self._world = processes.world
        self._began = time.monotonic()

    def add(self, loss: Tensor, norm: Tensor) -> None:
        self._sums += torch.stack((loss, norm))
        self._count += 1

    def means(self) -> dict[str, float]:
        if self._world > 1:
            dist.all_reduce(self._sums)
        loss, norm = (self._sums / (self._count * self._world)).tolist()
        self._sums.zero_()
        self._count = 0
        now = time.monotonic()  # the numbers above have waited for the device
        began, self._began = self._began, now
        return {"loss": loss, "grad_norm": norm, "process_seconds": (now - began) * self._world}
