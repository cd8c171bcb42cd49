"""Stopping when asked to: a signal, or the end of the time given, is noted, and long work looks between its parts.

    TERM, INT, USR1, USR2    what a cluster sends before a limit, a preemption or a cancellation
    --max-runtime            minutes that the process may take, with what it needs to save
    ask                      what the process itself finds: another one has its work

Work that stops has saved what it has done and raises `Stopped`; the command line leaves with exit code 75, "run me
again".
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

EXIT_RUN_AGAIN = 75  # EX_TEMPFAIL of sysexits.h
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)
TO_SAVE = 120  # seconds, to start, for the step that runs, to save it; three tenths of the time where that is less


class Stopped(Exception):
    """The work was asked to stop, and the same command goes on with it."""


class _Asked:
    reason = ""
    until = float("inf")  # of the monotonic clock


@contextmanager
def heeded(max_runtime: float = 0) -> Iterator[None]:
    """Heed signals within the block, in the main thread, and the end of `max_runtime` minutes if they are given.

    A second INT (Ctrl-C) ends the process at once.

    Raises:
        ValueError: for less than no time.
    """
    if not max_runtime >= 0:
        raise ValueError(f"--max-runtime is {max_runtime:g}: minutes above 0 are needed, or 0 for no limit")
    before = {number: signal.signal(number, _note) for number in SIGNALS}
    seconds = 60 * max_runtime or float("inf")
    _Asked.reason, _Asked.until = "", time.monotonic() + max(0.7 * seconds, seconds - TO_SAVE)
    try:
        yield
    finally:
        _Asked.reason, _Asked.until = "", float("inf")
        for number, handler in before.items():
            signal.signal(number, handler)


def leave_to_parent() -> None:
    """Ignore in a worker what asks its job to stop: that reaches the workers too, and they end with their parent."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def ask(why: str) -> None:
    """Ask from within the process; the first reason is kept."""
    _Asked.reason = _Asked.reason or why


def reason() -> str:
    """Why to stop, "" where nothing asked for it."""
    if not _Asked.reason and time.monotonic() > _Asked.until:
        _Asked.reason = "the time given ends"
    return _Asked.reason


def check(saved: str) -> None:
    """Raise `Stopped` where that was asked for; `saved` says what the next call finds."""
    if why := reason():
        raise Stopped(f"{why}; {saved}; the same command goes on")


def _note(number: int, frame: object) -> None:
    if number == signal.SIGINT and _Asked.reason:
        raise KeyboardInterrupt
    ask(f"got {signal.Signals(number).name}")
