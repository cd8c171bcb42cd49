"""Learning rate as a pure function of the step: warm-up, then cosine, steps (Table 9, appendix B) or straight down."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from simmim.config.training import TrainSettings
from simmim.plugin import check_choice

if TYPE_CHECKING:
    from torch.optim import Optimizer

SCHEDULES = "cosine", "step", "linear"


def learning_rate(
    step: int,
    *,
    peak: float,
    steps: int,
    schedule: str = "cosine",
    warmup_steps: int = 0,
    warmup_lr: float = 0.0,
    min_lr: float = 0.0,
    milestones: Sequence[int] = (),
    gamma: float = 0.1,
    warmup_offset: bool = True,
) -> float:
    """Learning rate of update `step`, counted from 0.

    Warm-up start and minimum are common to all parameter groups; only the peak is scaled by layer-wise decay, so the
    rate of a group whose peak lies below them rises. The released code trains update k with the rate of k - 1.

    Args:
        peak: rate at the end of warm-up, already scaled for the batch and the group.
        steps: updates of the whole run.
        schedule: "cosine" and "linear" fall to `min_lr` at `steps`; "step" multiplies by `gamma` at each milestone.
        warmup_steps: updates over which the rate rises linearly from `warmup_lr`.
        milestones: updates, used by "step" only.
        warmup_offset: the cosine starts where warm-up ends. False is the released form, which starts it at 0 and so
            drops at the end of warm-up (to 0.9755 of the peak for 10 of 100 epochs).
    """
    check_choice("schedule", schedule, SCHEDULES)
    if not 0 <= warmup_steps <= steps:
        raise ValueError(f"warmup_steps {warmup_steps} must lie between 0 and the run's {steps} steps")
    if step < warmup_steps:
        return warmup_lr + step * (peak - warmup_lr) / warmup_steps
    if schedule == "step":
        return peak * gamma ** sum(milestone <= step for milestone in milestones)
    start = warmup_steps if warmup_offset else 0
    if step >= steps:
        return min_lr
    if schedule == "linear":
        return min_lr + (peak - min_lr) * (steps - step) / (steps - start)
    return min_lr + (peak - min_lr) * (1 + math.cos(math.pi * (step - start) / (steps - start))) / 2


def set_learning_rates(optimizer: Optimizer, settings: TrainSettings, step: int, steps: int, samples: int) -> float:
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
