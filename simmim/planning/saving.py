"""What a training's checkpoints cost it, and what failures do: the interval of Young and Daly, and the expected ETTR.

    a save      checkpoint / rate of the disk; nothing is trained meanwhile
    interval    between saves: as the settings have it, and where least is lost (Young 1974, Daly 2006),
                sqrt(2 x a save x time between failures)
    ETTR        share of effective training time, without that in a queue (arXiv 2410.21680),
                1 - a save / interval - (interval / 2 + restart) / time between failures

Nodes fail as often as Meta's do (arXiv 2410.21680). The rate of the disk, which is a shared file
system in use, and the time to load libraries, data and a checkpoint again are assumptions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from simmim.config.training import TrainSettings
from simmim.planning.gpus import GPUS_A_NODE

HOURS_OF_1024_GPUS = 7.9  # between two failures of a job
BYTES_A_SECOND = 1e9
RESTART_SECONDS = 300.0
_NODE_LIFE = 3600 * HOURS_OF_1024_GPUS * 1024 / GPUS_A_NODE  # seconds


@dataclass(frozen=True)
class Saving:
    """What saving costs each training of a group.

    Args:
        step_seconds: one update on all GPUs.
        save_seconds: one checkpoint.
        save_every_seconds: between two, with the settings that there are.
        young_daly_seconds: between two, where least time is lost.
        save_share: of the training's time, that goes into saving.
        ettr: expected share of effective training time.
    """

    step_seconds: float
    save_seconds: float
    save_every_seconds: float
    young_daly_seconds: float
    save_share: float
    ettr: float


def saving(checkpoint_bytes: float, train: TrainSettings, step_seconds: float, steps: float, gpus: int) -> Saving:
    """What saving costs a training.

    Args:
        checkpoint_bytes: of one checkpoint.
        step_seconds: of an update on all GPUs.
        steps: updates of the training, at the end of which it is saved in any case.
        gpus: of the job.
    """
    save, between_failures = checkpoint_bytes / BYTES_A_SECOND, _NODE_LIFE / math.ceil(gpus / GPUS_A_NODE)
    every = _every_seconds(train, step_seconds, steps)
    lost = (every / 2 + RESTART_SECONDS) / between_failures
    best = math.sqrt(2 * save * between_failures)
    return Saving(step_seconds, save, every, best, save / every, 1 - save / every - lost)


def _every_seconds(train: TrainSettings, step_seconds: float, steps: float) -> float:
    """Time between saves on average: those at every so many steps, and further ones where that takes too long."""
    by_steps = min(train.save_every_steps, steps) * step_seconds
    return by_steps / math.ceil(by_steps / (60 * train.save_every_minutes))
