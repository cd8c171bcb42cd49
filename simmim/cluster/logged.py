"""`python -m simmim.cluster.logged LOG COMMAND...`: run a command with its output in a log that outlives it.

Snakemake deletes a rule's log before the next attempt, so the file has a second name in `attempts/` beside it.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path


def run(log: Path, command: Sequence[str]) -> None:
    """Become the command, so that signals reach it."""
    attempt = f"{time.strftime('%Y-%m-%dT%H.%M.%S')}.{os.environ.get('SLURM_JOB_ID', os.getpid())}"
    kept = log.parent / "attempts" / f"{log.stem}.{attempt}.log"
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_bytes(b"")
    log.unlink(missing_ok=True)
    try:
        os.link(kept, log)
    except OSError:  # a file system without hard links
        log.symlink_to(kept.relative_to(log.parent))
    opened = os.open(log, os.O_WRONLY | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(opened, stream)
    os.execvp(command[0], command)


if __name__ == "__main__":
    run(Path(sys.argv[1]), sys.argv[2:])
