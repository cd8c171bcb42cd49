"""What a process may use of its machine."""

from __future__ import annotations

import os


def cpus() -> int:
    """CPUs that this process may use: those of a Slurm job, not all of its node."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
