"""The one training loop: pre-training, fine-tuning, probes, detection and segmentation all go through `fit`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from simmim.config.differences import differing_fields, refuse_changed
from simmim.config.training import TrainSettings
from simmim.storage.identity import Identity, code_version
from simmim.train import checkpoint, spikes
from simmim.train.batch_sampler import BatchSampler
from simmim.train.compiling import chosen_blocks
from simmim.train.gradients import accumulate
from simmim.train.guard import Guard
from simmim.train.log import TrainLog
from simmim.train.processes import (
    Processes,
    autocast_dtype,
    environment,
    peak_bytes,
    seed_libraries,
    share_batch_statistics,
)
from simmim.train.reading import Waited, loader
from simmim.train.saver import Saver
from simmim.train.schedule import set_learning_rates
from simmim.train.sharding import clip_gradients, gather, is_sharded, shard
from simmim.train.speed import ForwardFlops
from simmim.train.task import TrainData, TrainTask
from simmim.train.watchdog import Watchdog

# Whether every forward pass takes the first process's buffers; PyTorch 2.13 has renamed it and warns of the old name.
_NEWER = "forward_sync_buffers"
_BUFFERS_FOLLOW = _NEWER if _NEWER in signature(DistributedDataParallel).parameters else "broadcast_buffers"
Groups = list[dict[str, Any]]
History = list[dict[str, float]]
Watcher = Callable[
    [int, int, Mapping[str, float], TrainTask], None
]  # sees updates done, updates in all, the log, the task


@dataclass(frozen=True)
class Run:
    """What tells one training from another: what it belongs to, its files, its name.

    Args:
        identity: a checkpoint of another one is refused.
        state: folder of its checkpoints; it goes on from the newest.
        label: name on the status line.
        initial_checkpoint: what a first stage wrote, to begin with where `state` holds no checkpoint.
        initial_identity: what that must belong to.
        first_stage: train up to the first milestone only, and write the checkpoint there as this folder.
        watchers: are shown every row of the log, and change nothing.
    """

    identity: Identity
    state: Path
    label: str
    initial_checkpoint: Path | None = None
    initial_identity: Identity | None = None
    first_stage: Path | None = None
    watchers: Sequence[Watcher] = ()

    def tell(self, step: int, steps: int, history: History, task: TrainTask, processes: Processes) -> None:
        """Let the watchers see the last row of the log, on the main process; a sharded network shows them nothing."""
        for watcher in self.watchers if processes.is_main_process and not is_sharded(task) else ():
            watcher(step, steps, history[-1], task)


@dataclass(frozen=True)
class Trained:
    """How far a training has come.

    Args:
        history: one row (step, loss, lr, grad_norm, largest loss and norm of an update, device_seconds) every
            `log_every_steps` steps, from its very start.
        parts: from which step on what code and environment trained it, the most memory that it held, and the FLOPs of
            an image's forward pass.
        step: updates done.
        begun: what there is of the next row.
    """

    history: History = field(default_factory=list)
    parts: list[dict[str, Any]] = field(default_factory=list)
    step: int = 0
    begun: Mapping[str, Any] = field(default_factory=dict)

    def compiled_on(self, machine: Mapping[str, Any]) -> bool | None:
        """Whether the last part ran compiled blocks, if nothing of its environment has changed since."""
        environment = dict(self.parts[-1]["environment"]) if self.parts else {}
        compiled = environment.pop("compiled", None)
        return compiled if environment == machine else None

    def begin_part(self, label: str, environment: Mapping[str, Any]) -> None:
        """Note what code and environment train from here on, where these are others than before."""
        made_by = {"code_version": code_version(), "environment": dict(environment)}
        before = {key: self.parts[-1][key] for key in made_by} if self.parts else {}
        changed = differing_fields(before, made_by)
        if before and changed:
            print(*(f"{label}: {line}" for line in changed), sep="\n", flush=True)
        if changed:
            self.parts.append(made_by | {"from_step": self.step})


def fit(
    task: TrainTask, data: TrainData, groups: Groups, settings: TrainSettings, run: Run, processes: Processes
) -> Trained:
    """Train `task` in place; `groups` of its parameters may each carry an `lr_scale`.

    Raises:
        ValueError: for settings that make no update, and for checkpoints that belong to something else.
        NonFiniteLoss, Stopped: before an update by numbers that are not finite; when that was asked for, after saving.
    """
    steps = settings.steps(len(data))
    last = settings.first_stage_steps(len(data)) if run.first_stage else steps
    trained, module, optimizer = _spread(task, groups, settings, processes)
    done = _resume(run, trained, optimizer, processes)
    sampler = _sampler(len(data), settings, run, range(done.step, last), processes)
    batches = Waited(loader(data, sampler, settings.workers, processes.device))
    machine = environment(processes, trained.autocast_dtype, settings, data)
    blocks = chosen_blocks(settings.compile, done.compiled_on(machine), run.label, trained, batches, sampler, processes)
    done.begin_part(run.label, machine | {"compiled": bool(blocks)})
    guard = Guard(optimizer, processes)
    kept = _kept(run, done, trained, optimizer, processes)
    flops = ForwardFlops(done.parts[-1], settings.batch // processes.world)
    saver = Saver(run.label, range(done.step, last), settings, processes, partial(checkpoint.save, run.state, **kept))
    with TrainLog(run.label, done.history, done.begun, sampler, processes) as log, Watchdog(run.label) as watchdog:
        for step in range(done.step, last):
            lr = set_learning_rates(optimizer, settings, step, steps, len(data))
            seed_libraries(run.identity.seed, step, processes.rank)
            with blocks.running(when=flops.are_known):
                loss = accumulate(trained, module, batches, sampler.accumulation, processes.device, flops)
            norm = clip_gradients(trained.parameters(), settings.clip_norm or float("inf"))
            guard.watch(step, loss, norm)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            log.add(loss, norm)
            watchdog.heard()
            now = step + 1
            trained.after_update(now, steps)
            logs, saves = now % settings.log_every_steps == 0 or now == last, saver.due(now)
            if logs or saves or guard.is_free:  # what is saved has been checked
                guard.check(sampler, data, run.state)
            if logs:
                spikes.tell(run.label, done.history, log.write_row(now, lr, batches.seconds), sampler, data, run.state)
                run.tell(now, steps, done.history, trained, processes)
            log.show(now, lr, batches.seconds)
            if saves:
                done.parts[-1]["peak_bytes"] = peak_bytes(processes.device, done.parts[-1:])
                saver.save(now, log.begun(batches.seconds))
    if run.first_stage:
        checkpoint.write(run.first_stage, last, **kept, begun={})
    gather(trained, task, processes.device)
    return replace(done, step=last)


def _kept(
    run: Run, done: Trained, task: TrainTask, optimizer: torch.optim.Optimizer, processes: Processes
) -> dict[str, Any]:
    """What every checkpoint of a training holds."""
    state = {"model": task, "optimizer": optimizer, "is_main_process": processes.is_main_process}
    return run.identity.as_json() | {"history": done.history, "parts": done.parts} | state


def _spread(
    task: TrainTask, groups: Groups, settings: TrainSettings, processes: Processes
) -> tuple[TrainTask, nn.Module, torch.optim.AdamW]:
    """What holds the weights (`task`, or a sharded copy), what is called for a loss, and the optimiser."""
    task.autocast_dtype = autocast_dtype(settings.precision, processes.device)
    task.images_at_once = settings.images_at_once(processes.world)
    share_batch_statistics(task.train(), processes)
    if settings.sharded and processes.world > 1:
        task, groups = shard(task, groups, processes, task.autocast_dtype)
        module = task
    else:
        task.to(processes.device)
        # A gradient is a view of what is exchanged: 4 bytes a parameter less, and no copy.
        options = {_BUFFERS_FOLLOW: False, "gradient_as_bucket_view": True}
        module = DistributedDataParallel(task, **options) if processes.world > 1 else task
    return task, module, torch.optim.AdamW(groups, lr=0.0, betas=settings.betas, fused=True)


def _sampler(samples: int, settings: TrainSettings, run: Run, steps: range, processes: Processes) -> BatchSampler:
    """Micro-batches of these steps, and a line where these are far smaller than they may be."""
    sampler = BatchSampler(
        samples=samples,
        batch=settings.batch,
        micro_batch=settings.micro_batch,
        steps=steps.stop,
        seed=run.identity.seed,
        start_step=steps.start,
        repeats=settings.repeats,
        world=processes.world,
        rank=processes.rank,
    )
    if processes.is_main_process and steps and sampler.remark:
        print(f"{run.label}: {sampler.remark}", flush=True)
    return sampler


def _resume(run: Run, task: TrainTask, optimizer: torch.optim.Optimizer, processes: Processes) -> Trained:
    """What the checkpoint holds that the training goes on from, which is loaded if there is one."""
    found, identity = checkpoint.newest_for_all(run.state, processes), run.identity
    if not found and run.initial_checkpoint:
        path, identity = run.initial_checkpoint, run.initial_identity
        found = path, checkpoint.verified_manifest(path)
    if not found:
        return Trained()
    path, manifest = found
    refuse_changed(path, manifest, identity, remove=path if path == run.initial_checkpoint else run.state)
    checkpoint.restore(path, task, optimizer)
    step = manifest["step"]
    if processes.is_main_process:
        print(f"{run.label}: going on from step {step}", flush=True)
    return Trained(manifest["history"], manifest["parts"], step, manifest["begun"])
