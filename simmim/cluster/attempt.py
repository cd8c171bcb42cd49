"""One run of a command, with what its processes say of it; the next one may wait beside it, everything imported."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from simmim import said

_ADOPTS_ORPHANS, _DIES_WITH_PARENT = 36, 1  # of Linux's prctl


class Attempt:
    """Starts a command, which ends with this process at the latest.

    Args:
        waits: it begins its work when `take_turn` says so.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], waits: bool = False) -> None:
        shared = Path(".snakemake").resolve()  # by the nodes of a job
        self._folder = Path(tempfile.mkdtemp(prefix="simmim-said-", dir=shared if shared.is_dir() else None))
        self.file, self._turn = self._folder / "said", self._folder / "turn"
        self._silent, self._last = 0.0, 0
        own = {said.FILE: str(self.file), said.TURN: str(self._turn) if waits else ""}
        try:
            self.file.touch()
            self.process = subprocess.Popen(  # what `cards` holds is the command's too
                command, env=os.environ | environment | own, close_fds=False, preexec_fn=_die_with_parent
            )
        except OSError:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise

    def take_turn(self, environment: Mapping[str, str]) -> None:
        """Let what waits begin, with these changes of its environment."""
        draft = self._folder / "draft"
        draft.write_text("".join(f"{name}={value}\n" for name, value in environment.items()))
        draft.rename(self._turn)

    def goes_on(self, seconds: float) -> bool:
        """Wait a little; whether it still runs, and has given a sign of life within so many seconds.

        Rounds are counted, and none while the job is suspended.
        """
        poll = min(5.0, seconds / 4)
        try:
            self.process.wait(poll)
            return False
        except subprocess.TimeoutExpired:
            now = self.file.stat().st_mtime_ns
            self._silent, self._last = self._silent + poll if now == self._last else 0.0, now
            return self._silent <= seconds

    def close(self) -> int:
        """End it if need be, forget what it said, and return its exit code."""
        self.process.kill()
        shutil.rmtree(self._folder, ignore_errors=True)
        return self.process.wait()


def adopt_orphans() -> None:
    """Become the parent of what the command's processes leave behind."""
    _prctl(_ADOPTS_ORPHANS, 1)


def end_orphans(seconds: float, but: Collection[int] = ()) -> None:
    """Kill what is left: workers and ranks that would keep the lock, the memory and the cards of the next attempt.

    Args:
        seconds: until then they may end by themselves.
        but: these children stay.
    """
    until = time.monotonic() + seconds
    while left := _children() - {*but}:
        for process in left:
            if time.monotonic() >= until:
                os.kill(process, signal.SIGKILL)
            os.waitpid(process, os.WNOHANG)
        time.sleep(0.02)


def _children() -> set[int]:
    listed = Path(f"/proc/self/task/{os.getpid()}/children")
    return {*map(int, listed.read_text().split())} if listed.exists() else set()


def _prctl(option: int, value: int) -> None:
    if call := getattr(ctypes.CDLL(None), "prctl", None):  # Linux has it
        call(option, value)


def _die_with_parent() -> None:
    _prctl(_DIES_WITH_PARENT, signal.SIGTERM)
