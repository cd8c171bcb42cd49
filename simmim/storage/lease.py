"""One worker per folder: a lock file that the system frees when its holder dies, with a heartbeat for other hosts."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from simmim import stopping
from simmim.stopping import Stopped
from simmim.storage.files import make_folder, named

BEAT = 10.0  # seconds
_DEAD = 9 * BEAT  # without a beat for so long, a holder on another host is gone
_SETTLED = 2.0  # seconds after which whoever began at the same time has written its name, and it is seen
_PATIENCE = 120.0  # for a holder that is about to end


@contextmanager
def lease(folder: Path, patience: float = _PATIENCE) -> Iterator[None]:
    """Hold a folder within the block; the file `.{name}.lease` beside it says who does.

    A holder that was killed is followed at once on its host, and elsewhere when its heartbeat has stopped. One that
    stood still for so long that it was followed is asked to stop when it wakes.

    Raises:
        Stopped: where another holder still works after `patience` seconds; it is named.
        ValueError: where it gives no sign of life, and yet its lock is kept: to ask again would be to wait for ever.
    """
    path = folder.with_name(f".{folder.name}.lease")
    make_folder(path.parent)
    file, ended = _taken(path, folder, patience), threading.Event()
    beat = threading.Thread(target=_beat, args=(path, file, ended), daemon=True)
    beat.start()
    try:
        yield
    finally:
        ended.set()
        beat.join()
        _left(path, file)


def _taken(path: Path, folder: Path, patience: float) -> IO[str]:
    """The lock file, locked, with this process's name in it."""
    until = time.monotonic() + patience
    while True:
        file = open(path, "a+", encoding="utf-8")  # noqa: SIM115 - held until the work is done
        if _lock(file) and _is(path, file) and not _works_elsewhere(file):
            _sign(path, file)
            if _is_locked(file) or _stays(path):
                return file
        refusal = _refusal(path, folder, file)
        file.close()
        if time.monotonic() > until:
            raise refusal
        time.sleep(min(1.0, patience / 5))


def _refusal(path: Path, folder: Path, file: IO[str]) -> Exception:
    """For whoever comes second: a job may be put back into a queue for a holder that works, and for no other."""
    holder, silent = _holder(file), _silent_seconds(file)
    if silent < _DEAD:
        return Stopped(f"{folder} is in use by {holder}; wait for it, or end it")
    gone = f"{holder}, which has given no sign of life for {silent / 60:.0f} minutes"
    return ValueError(f"{folder} is locked by {gone}; end it, or remove {path} if it is gone")


def _sign(path: Path, file: IO[str]) -> None:
    """Write this process's name into the lock file."""
    try:
        with named(path):
            os.truncate(file.fileno(), 0)
            os.write(file.fileno(), json.dumps(_own_name()).encode())
            os.fsync(file.fileno())  # for other hosts
    except OSError:
        _left(path, file)
        raise


def _left(path: Path, file: IO[str]) -> None:
    """Give the lock back, unless another host has taken it over; a name that cannot be removed locks nobody out."""
    with suppress(OSError):
        if _name_in(file) in ({}, _own_name()):
            path.unlink(missing_ok=True)  # while it is locked: who waits for it sees that it is gone
    file.close()


def _lock(file: IO[str]) -> bool:
    """Whether the lock is free, and this process's now."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # no locks on this file system: heartbeats alone must do
        return _silent_seconds(file) >= _DEAD or not _name_in(file)
    return True


def _is_locked(file: IO[str]) -> bool:
    """Whether a lock on the file, which is asked for once more, kept others from signing it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _stays(path: Path) -> bool:
    """Whether this process's name is still the one in the file where several may have signed it at the same time."""
    time.sleep(_SETTLED)
    with suppress(FileNotFoundError), open(path, encoding="utf-8") as now:
        return _name_in(now) == _own_name()
    return False


def _is(path: Path, file: IO[str]) -> bool:
    """Whether the open file still is the one at `path`."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _works_elsewhere(file: IO[str]) -> bool:
    """Whether a holder on another host, whose lock may not be seen here, has a heartbeat."""
    name = _name_in(file)
    return bool(name) and name["host"] != socket.gethostname() and _silent_seconds(file) < _DEAD


def _silent_seconds(file: IO[str]) -> float:
    """How long ago the holder's heart last beat."""
    return time.time() - os.fstat(file.fileno()).st_mtime


def _own_name() -> dict[str, str | int]:
    return {"host": socket.gethostname(), "pid": os.getpid(), "job": os.environ.get("SLURM_JOB_ID", "")}


def _holder(file: IO[str]) -> str:
    name = _name_in(file)
    if not name:
        return "another process"
    job = f" (Slurm job {name['job']})" if name["job"] else ""
    return f"process {name['pid']} on {name['host']}{job}"


def _name_in(file: IO[str]) -> dict[str, str | int]:
    """The first name in the file: two that signed it at the same moment stand one behind the other."""
    try:
        return json.JSONDecoder().raw_decode(os.pread(file.fileno(), 4096, 0).decode())[0]
    except ValueError:
        return {}


def _beat(path: Path, file: IO[str], ended: threading.Event) -> None:
    while not ended.wait(BEAT):
        with suppress(OSError):  # the next may reach the disk again
            os.utime(file.fileno())
            _stop_if_followed(path)


def _stop_if_followed(path: Path) -> None:
    with open(path, encoding="utf-8") as now:
        if _name_in(now) not in ({}, _own_name()):
            stopping.ask(f"{_holder(now)} took over while this process stood still")
