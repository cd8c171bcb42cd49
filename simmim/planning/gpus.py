"""What jobs may run on."""

from __future__ import annotations

from dataclasses import dataclass

from simmim.plugin import check_choice
from simmim.train.gpus import GPU, GPUS

GPUS_A_NODE = 8


@dataclass(frozen=True)
class Machine:
    """So many GPUs a job, used at a share `utilisation` of their peak rate."""

    name: str
    gpu: GPU
    utilisation: float
    gpus: int


def machine(name: str, utilisation: float, gpus: int) -> Machine:
    """A machine as a user names it.

    Raises:
        ValueError: for an unknown GPU, a utilisation outside (0, 1], or less than one GPU.
    """
    check_choice("GPU", name, GPUS)
    if not 0 < utilisation <= 1:
        raise ValueError(f"utilisation {utilisation} must lie above 0 and be at most 1")
    if gpus < 1:
        raise ValueError(f"gpus {gpus} must be at least 1")
    return Machine(name, GPUS[name], utilisation, gpus)
