"""Going on after Snakemake was killed: its last command is remembered, its jobs are found, its lock is taken away."""

from __future__ import annotations

import json
import os
import shlex
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from simmim.cluster import queue

_REMEMBERED = Path(".snakemake") / "simmim-command.json"


def remember(folder: Path, arguments: Sequence[str]) -> None:
    """Keep the arguments of the Snakemake that this process is and that runs in a folder."""
    command = [sys.executable, "-m", "snakemake", *arguments]
    text = json.dumps({"command": command, "host": socket.gethostname(), "process": os.getpid()})
    (folder / _REMEMBERED).write_text(text + "\n")


def last(folder: Path) -> list[str]:
    """The last command that was remembered.

    Raises:
        ValueError: where there is none, or while its process still runs.
    """
    if not (folder / _REMEMBERED).is_file():
        raise ValueError(f"no Snakemake has submitted jobs from {folder.resolve()}; start it as the README says")
    found = json.loads((folder / _REMEMBERED).read_text())
    if _still_runs(found):
        raise ValueError(f"Snakemake still runs here, as process {found['process']}; end it with: kill -INT")
    if found["host"] != socket.gethostname():
        print(f"Snakemake ran on {found['host']}: whether it still does cannot be seen from here")
    return found["command"]


def _still_runs(found: dict[str, Any]) -> bool:
    started = Path("/proc", str(found["process"]), "cmdline")
    return found["host"] == socket.gethostname() and started.is_file() and b"snakemake" in started.read_bytes()


def recover(folder: Path, cancel: bool) -> int:
    """Find jobs that the last Snakemake of a folder left, let them end, and start it again.

    Args:
        cancel: end them instead of waiting.

    Returns:
        The exit code of Snakemake.
    """
    command = last(folder)
    if left := queue.jobs_of(folder):
        print(
            *left, "these are cancelled" if cancel else "these are waited for; --cancel ends them", sep="\n", flush=True
        )
        if cancel:
            queue.cancel(left)
        queue.wait_for_none(folder)
    print("$", shlex.join(command), flush=True)
    python, arguments = command[:3], command[3:]
    unlock = [*python, "--unlock", *arguments]  # behind `--` it would be a target
    if refused := subprocess.run(unlock, cwd=folder, stdout=subprocess.DEVNULL).returncode:
        return refused  # Snakemake has said why
    return subprocess.run(command, cwd=folder).returncode
