"""What a process tells the one that started it: that it lives, what it has saved, and how it means to end.

`simmim.cluster.again` names a file for it in the environment; where it names none, nothing is told. A process that is
killed says nothing of its end, which is how it is known.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

FILE = "SIMMIM_SAID"
TURN = "SIMMIM_TURN"  # a file that tells a process which waits, everything imported, to begin
_STUCK = "SIMMIM_STUCK_MINUTES"
_MINUTES = "20"  # longer than any step with its checkpoint takes


def stuck_seconds() -> float:
    """How long work may be silent until it counts as stuck (the environment's SIMMIM_STUCK_MINUTES, or 20).

    Raises:
        ValueError: for what is no time.
    """
    value, minutes = os.environ.get(_STUCK, _MINUTES), 0.0
    with suppress(ValueError):
        minutes = float(value)
    if not 0 < minutes < float("inf"):
        raise ValueError(f"{_STUCK}={value} must be a number of minutes above 0, such as {_MINUTES}")
    return 60 * minutes


def waits() -> bool:
    """Whether this process is to begin only once another has ended."""
    return bool(os.environ.get(TURN))


def wait_for_turn() -> None:
    """Return when there is the file that tells to begin, with the changes of the environment that it names."""
    turn = Path(os.environ.pop(TURN))
    while not turn.exists():
        time.sleep(0.1)
    os.environ.update(line.split("=", 1) for line in turn.read_text(encoding="utf-8").splitlines())


def saved(path: Path) -> None:
    """What stands at `path` is whole and on the disk."""
    _say("saved", path)


def ended(code: int) -> int:
    """The process ends on purpose, with this exit code, which is returned."""
    _say("ended", code)
    return code


@contextmanager
def alive() -> Iterator[None]:
    """Touch the file within the block; a process that was stopped, or hangs without letting threads run, does not."""
    file, over = os.environ.get(FILE), threading.Event()
    if file:
        threading.Thread(target=_touch, args=(file, over, min(5.0, stuck_seconds() / 4)), daemon=True).start()
    try:
        yield
    finally:
        over.set()


def heard(file: Path) -> tuple[set[str], set[int]]:
    """What was saved, and the exit codes that processes meant to end with."""
    told = [line.partition(" ") for line in file.read_text(encoding="utf-8").splitlines()]
    return {what for verb, _, what in told if verb == "saved"}, {int(what) for verb, _, what in told if verb == "ended"}


def _say(verb: str, what: object) -> None:
    """Tell something; what cannot be told, for a full disk or because nobody listens any more, stops no work."""
    with suppress(OSError):
        if (file := os.environ.get(FILE)) and os.path.exists(file):
            with open(file, "a", encoding="utf-8") as told:
                told.write(f"{verb} {what}\n")


def _touch(file: str, over: threading.Event, seconds: float) -> None:
    while not over.wait(seconds):
        with suppress(OSError):
            os.utime(file)
