"""What a process may use of its machine."""

from __future__ import annotations

import ctypes
import os
import platform
import re
from pathlib import Path

# Settings of glibc's heap by the variable that a user may have set instead: their numbers in malloc.h, and ours.
_HEAP = {
    "MALLOC_TRIM_THRESHOLD_": (-1, -1),  # give nothing back,
    "MALLOC_TOP_PAD_": (-2, 2**28),  # take as much at a time,
    "MALLOC_MMAP_MAX_": (-4, 0),  # and large blocks from the heap, too
}


def keep_freed_memory() -> None:
    """Keep what is freed for what is allocated next, here and in processes that this one forks.

    Training allocates and frees the same large blocks in every step on a CPU, and glibc would give them back to the
    system each time: worth 10 to 20 % of a step, for up to half as much memory again where inputs are large.
    """
    set_heap = getattr(ctypes.CDLL(None), "mallopt", None)  # of glibc only
    for variable, (parameter, value) in _HEAP.items():
        if set_heap and variable not in os.environ:
            set_heap(parameter, value)


def cpus() -> int:
    """CPUs that this process may use: those of a Slurm job, not all of its node."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_name() -> str:
    """Of the CPU; its family, model and stepping too, for cloud providers leave out its number."""
    file = Path("/proc/cpuinfo")
    said = dict(re.findall(r"^([^\t\n:]+?)\s*: (.+)$", file.read_text(), re.MULTILINE)) if file.is_file() else {}
    numbers = [f"{name.split()[-1]} {said[name]}" for name in ("cpu family", "model", "stepping") if name in said]
    name = said.get("model name") or platform.processor() or platform.machine()
    return f"{name} ({', '.join(numbers)})" if numbers else name
