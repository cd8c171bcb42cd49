"""Going on after Snakemake was killed: its last command is remembered, its jobs are found, its lock is taken away."""

from __future__ import annotations

import json
import os
import shlex
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from simmim.cluster import queue
from simmim.storage.files import write_text
from simmim.storage.reading import reading

_REMEMBERED = Path(".snakemake") / "simmim-command.json"
_PROFILE = "SNAKEMAKE_PROFILE"  # of its environment, what Snakemake takes for an argument


def remember(folder: Path, directory: str | Path | None) -> None:
    """Keep the command of the Snakemake that this process is and that runs in a folder, however it was started.

    Args:
        directory: Snakemake's `--directory`, which has led here from where paths among the arguments begin.
    """
    kept = {
        "command": [sys.executable, *sys.orig_argv[1:]],
        "first_argument": len(sys.orig_argv) - len(sys.argv[1:]),
        "folder": str(_start(folder, directory).resolve()),
        "environment": {name: value for name, value in os.environ.items() if name == _PROFILE},
        "host": socket.gethostname(),
        "process": os.getpid(),
        "shown": _shown(os.getpid()),
    }
    write_text(folder / _REMEMBERED, json.dumps(kept) + "\n")


def _start(folder: Path, directory: str | Path | None) -> Path:
    """Where the command was given, as far as the shell has said so."""
    shell = Path(os.environ.get("PWD", ""))
    return shell if directory is not None and (shell / directory).resolve() == folder.resolve() else folder


def last(folder: Path, ended: bool = False) -> dict[str, Any]:
    """What was remembered of the last command.

    Args:
        ended: its process does not run any more, should that have been on another host.

    Raises:
        ValueError: where there is nothing, while its process still runs, or where that cannot be seen.
    """
    if not (folder / _REMEMBERED).is_file():
        raise ValueError(f"no Snakemake has submitted jobs from {folder.resolve()}; start it as the README says")
    with reading(folder / _REMEMBERED, "a remembered command", "start Snakemake as before"):
        found = json.loads((folder / _REMEMBERED).read_text())
    if _still_runs(found):
        raise ValueError(f"Snakemake still runs here, as process {found['process']}; end it with: kill -INT")
    if found["host"] != socket.gethostname() and not ended:
        raise ValueError(
            f"Snakemake ran on {found['host']}, and whether it still does cannot be seen from {socket.gethostname()}; "
            "give the command there, or with --ended if you know that it does not"
        )
    return found


def _still_runs(found: dict[str, Any]) -> bool:
    """Whether a process of its number looks like it; of what earlier versions remembered, its name must do."""
    shown = _shown(found["process"])
    return found["host"] == socket.gethostname() and shown != "" and found.get("shown", "snakemake") in shown


def _shown(process: int) -> str:
    """The command of a process of this machine as the system shows it; "" where there is none."""
    file = Path("/proc", str(process), "cmdline")
    return os.fsdecode(file.read_bytes()) if file.is_file() else ""


def recover(folder: Path, cancel: bool, ended: bool = False) -> int:
    """Find jobs that the last Snakemake of a folder left, let them end, and start it again.

    Args:
        cancel: end them instead of waiting.
        ended: as of `last`.

    Returns:
        The exit code of Snakemake.
    """
    found = last(folder, ended)
    if left := queue.jobs_of(folder):
        print(
            *left, "these are cancelled" if cancel else "these are waited for; --cancel ends them", sep="\n", flush=True
        )
        if cancel:
            queue.cancel(left)
        queue.wait_for_none(folder)
    command, first, where = found["command"], found.get("first_argument", 3), found.get("folder", folder)
    print("$", shlex.join(command), flush=True)
    unlock = [*command[:first], "--unlock", *command[first:]]  # behind `--` it would be a target
    environment = os.environ | found.get("environment", {})
    if refused := subprocess.run(unlock, cwd=where, env=environment, stdout=subprocess.DEVNULL).returncode:
        return refused  # Snakemake has said why
    return subprocess.run(command, cwd=where, env=environment).returncode
