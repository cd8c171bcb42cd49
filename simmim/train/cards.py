"""Gives a job cards of its own: `python -m simmim.train.cards 2 COMMAND` runs a command on two (torch-free).

The workflow starts every job that was granted GPUs through this. The command sees only its cards
(CUDA_VISIBLE_DEVICES), and SIMMIM_DEVICE=cuda tells it that it was promised some; SIMMIM_DEVICE=cpu, set by hand, keeps
it on the CPU. Slurm gives cards itself to what it runs for the workflow; where such a job has several nodes, this runs
on each. Elsewhere, in an allocation of Slurm's too, a card belongs to the process that holds the lock of a file, which
the system lets go when that process ends, however it ends; without a free card a job waits for one.
SIMMIM_JOBS_PER_CARD=8 puts as many jobs on a card: one small network leaves it idle.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from simmim.cluster.again import MINUTES

DEVICE = "SIMMIM_DEVICE"
_SHARED = "SIMMIM_JOBS_PER_CARD"
_VISIBLE = "CUDA_VISIBLE_DEVICES"
_POLL_SECONDS = 0.5


def visible() -> list[str]:
    """The cards that the driver has and CUDA_VISIBLE_DEVICES does not hide, in its order; none without a driver."""
    listed = driver_says("-L")
    if listed is None:
        return []
    found = re.findall(r"^GPU \d+: .*\(UUID: (\S+)\)", listed.stdout, re.MULTILINE)
    chosen = os.environ.get(_VISIBLE)
    if chosen is None:
        return found
    names = [each.strip() for each in chosen.split(",")]
    names = [found[int(each)] if each.isdigit() and int(each) < len(found) else each for each in names]
    return [each for each in names if each.startswith(("GPU-", "MIG-"))]


def driver_says(*question: str) -> subprocess.CompletedProcess[str] | None:
    """What nvidia-smi answers; None where there is no such program, and so no driver."""
    if shutil.which("nvidia-smi") is None:
        return None
    return subprocess.run(["nvidia-smi", *question], capture_output=True, text=True, check=False)


def jobs_per_card() -> int:
    """How many jobs share a card; each has one of its own unless SIMMIM_JOBS_PER_CARD says otherwise.

    Raises:
        ValueError: for what is no number of jobs.
    """
    value = os.environ.get(_SHARED, "1")
    if not re.fullmatch(r"[1-9]\d*", value):
        raise ValueError(f"{_SHARED}={value} must be a number of jobs, 1 or more")
    return int(value)


def lease(cards: Sequence[str], number: int, folder: Path) -> dict[str, int]:
    """Wait until so many of the cards are free and hold them until this process ends, also as another program.

    Args:
        folder: of the lock files, the same for all jobs of a machine.

    Returns:
        The cards, each with the open file that is its lock.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    held: dict[str, int] = {}
    turn = _open(folder / "turn.lock")
    fcntl.flock(turn, fcntl.LOCK_EX)  # one waits for cards at a time: two with a half each would wait for ever
    while len(held) < number:
        for place, card in itertools.product(range(jobs_per_card()), cards):  # emptier cards first
            free = card not in held and len(held) < number
            if free and (lock := _lock_of(folder / f"{card}.{place}.lock")) is not None:
                held[card] = lock
        if len(held) < number:
            time.sleep(_POLL_SECONDS)
    os.close(turn)
    return {card: held[card] for card in cards if card in held}


def _lock_of(file: Path) -> int | None:
    """The open file, locked; None where another process has the lock."""
    opened = _open(file)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(opened)
        return None
    os.set_inheritable(opened, True)
    return opened


def _open(file: Path) -> int:
    return os.open(file, os.O_CREAT | os.O_RDWR, 0o600)


def meeting_place(environment: Mapping[str, str]) -> dict[str, str]:
    """Where the processes of several nodes meet, as torchrun reads it; nothing within a node.

    The script of a job, and so its `srun`, runs on the job's first node, where process 0 is.
    """
    if int(environment.get("SLURM_STEP_NUM_NODES", 1)) < 2:
        return {}
    return {
        "PET_NODE_RANK": environment["SLURM_NODEID"],
        "PET_MASTER_ADDR": environment["SLURM_LAUNCH_NODE_IPADDR"],
        "PET_MASTER_PORT": str(20000 + int(environment["SLURM_JOB_ID"]) % 10000),
    }


def run(number: int, command: Sequence[str]) -> None:
    """Become a command that has so many cards.

    Raises:
        ValueError: on a machine that has fewer.
    """
    environment = {DEVICE: "cuda"} | os.environ | meeting_place(os.environ)
    cards = visible()
    of_slurm = "SLURM_JOB_ID" in os.environ and MINUTES in os.environ  # as the profile asked for it, card by card
    if environment[DEVICE] == "cuda" and cards and not of_slurm:
        if number > len(cards):
            raise ValueError(f"this job is to have {number} GPUs and sees {len(cards)}; lower its resource `gpu`")
        folder = Path(tempfile.gettempdir()) / f"simmim-cards-{os.getuid()}"
        environment[_VISIBLE] = ",".join(lease(cards, number, folder))
    os.execvpe(command[0], list(command), environment)


if __name__ == "__main__":
    try:
        run(int(sys.argv[1]), sys.argv[2:])
    except ValueError as error:
        sys.exit(f"simmim: error: {error}")
