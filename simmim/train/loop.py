"""The one training loop: pre-training, fine-tuning, probes, detection and segmentation all go through `fit`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from simmim.config.differences import refuse_changed
from simmim.config.training import TrainSettings
from simmim.train import checkpoint
from simmim.train.batch_sampler import BatchSampler
from simmim.train.guard import Guard
from simmim.train.log import TrainLog, history_of
from simmim.train.processes import Processes, autocast_dtype, environment, seed_libraries, share_batch_statistics
from simmim.train.reading import loader, to_device
from simmim.train.schedule import learning_rate
from simmim.train.sharding import clip_gradients, gather, is_sharded, shard
from simmim.train.task import TrainData, TrainTask

Groups = list[dict[str, Any]]
History = list[dict[str, float]]


@dataclass(frozen=True)
class Run:
    """What tells one training from another: its seed, its files, its name.

    Args:
        state: folder of its checkpoints; it goes on from the newest.
        config: completed config; a checkpoint made with another one is refused.
        label: name on the status line.
        initial_checkpoint: what a first stage wrote, to begin with where `state` holds no checkpoint.
        first_stage: train up to the first milestone only, and write the checkpoint there as this folder.
    """

    seed: int
    state: Path
    config: Mapping[str, Any]
    label: str
    initial_checkpoint: Path | None = None
    first_stage: Path | None = None


def fit(
    task: TrainTask, data: TrainData, groups: Groups, settings: TrainSettings, run: Run, processes: Processes
) -> History:
    """Train `task` in place; `groups` of its parameters may each carry an `lr_scale`.

    Returns:
        One row (step, loss, lr, grad_norm, device_seconds) every `log_every_steps` steps, from the run's very start.

    Raises:
        ValueError: for settings that make no update, and for checkpoints of another config.
        NonFiniteLoss: before an update by numbers that are not finite.
    """
    steps = settings.steps(len(data))
    last = settings.first_stage_steps(len(data)) if run.first_stage else steps
    dtype = task.autocast_dtype = autocast_dtype(settings.precision, processes.device)
    task.images_at_once = settings.images_at_once(processes.world)
    trained, module, groups = _spread(task, groups, settings, processes)
    optimizer = torch.optim.AdamW(groups, lr=0.0, betas=settings.betas, fused=True)
    history, first = _resume(run, trained, optimizer)
    manifest = {"config": run.config, "environment": environment(processes, dtype, settings), "history": history}
    sampler = _sampler(len(data), settings, run.seed, range(first, last), processes)
    guard = Guard(optimizer, processes)
    with TrainLog(run.label, history, sampler, processes) as log:
        batches = iter(loader(data, sampler, settings.workers, processes.device))
        for step in range(first, last):
            lr = set_learning_rates(optimizer, settings, step, steps, len(data))
            seed_libraries(run.seed, step, processes.rank)
            loss = _accumulate_gradients(trained, module, batches, sampler.accumulation, processes.device)
            norm = clip_gradients(trained.parameters(), settings.clip_norm or float("inf"))
            guard.watch(step, loss, norm)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            done = step + 1
            trained.after_update(done, steps)
            log.add(loss, norm)
            logs = done % settings.log_every_steps == 0 or done == last
            if logs or guard.is_free:  # what is saved has been checked: saves come at log rows only
                guard.check(sampler, data, run.state)
            if logs:
                log.write_row(done, lr)
            log.show(done, lr)
            if done % settings.save_every_steps == 0 and done < last:
                checkpoint.save(run.state, done, trained, optimizer, processes.is_main_process, **manifest)
    if run.first_stage:
        checkpoint.write(run.first_stage, last, trained, optimizer, processes.is_main_process, **manifest)
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


def _spread(
    task: TrainTask, groups: Groups, settings: TrainSettings, processes: Processes
) -> tuple[TrainTask, nn.Module, Groups]:
    """What holds the weights (`task`, or a sharded copy), what is called for a loss, and the groups."""
    share_batch_statistics(task.train(), processes)
    if settings.sharded and processes.world > 1:
        sharded, groups = shard(task, groups, processes, task.autocast_dtype)
        return sharded, sharded, groups
    task.to(processes.device)
    return task, DistributedDataParallel(task, forward_sync_buffers=False) if processes.world > 1 else task, groups


def _accumulate_gradients(
    task: TrainTask, module: nn.Module, batches: Iterator[dict], accumulation: int, device: torch.device
) -> Tensor:
    """Forward and backward over one step's micro-batches; gradients are averaged over them and over the processes."""
    together = accumulation if task.whole_batch else 1  # micro-batches of a forward pass
    turns = accumulation // together
    replicated = isinstance(module, DistributedDataParallel)  # sharded gradients are never kept whole between them
    keep_casts = not is_sharded(module)  # casts that are kept would add up to the whole model
    dtype = None if task.own_autocast else task.autocast_dtype
    total = torch.zeros((), device=device)
    for turn in range(turns):
        batch = _joined([to_device(next(batches), device) for _ in range(together)])
        last = turn == turns - 1
        skip_sync = module.no_sync() if replicated and not last else contextlib.nullcontext()
        with skip_sync:
            with torch.autocast(device.type, dtype, enabled=dtype is not None, cache_enabled=keep_casts):
                loss = module(batch) / turns
            loss.backward()
        total += loss.detach()
    return total


def _joined(batches: list[dict]) -> dict:
    """One batch of several, whose values are tensors then."""
    if len(batches) == 1:
        return batches[0]
    return {key: torch.cat([batch[key] for batch in batches]) for key in batches[0]}


def _sampler(samples: int, settings: TrainSettings, seed: int, steps: range, processes: Processes) -> BatchSampler:
    """Micro-batches of these steps."""
    return BatchSampler(
        samples=samples,
        batch=settings.batch,
        micro_batch=settings.micro_batch,
        steps=steps.stop,
        seed=seed,
        start_step=steps.start,
        repeats=settings.repeats,
        world=processes.world,
        rank=processes.rank,
    )


def _resume(run: Run, task: TrainTask, optimizer: torch.optim.Optimizer) -> tuple[History, int]:
    """History and number of updates of the checkpoint to go on from, which is loaded if there is one."""
    found = checkpoint.newest(run.state)
    if found:
        refuse_changed(found[0], found[1]["config"], run.config, remove=run.state)
    elif run.initial_checkpoint:
        found = run.initial_checkpoint, checkpoint.verified_manifest(run.initial_checkpoint)
    else:
        return [], 0
    path, manifest = found
    checkpoint.restore(path, task, optimizer)
    print(f"{run.label}: going on from step {manifest['step']}", flush=True)
    return history_of(manifest), manifest["step"]
