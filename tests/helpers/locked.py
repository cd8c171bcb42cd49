"""Files that may not be read: root reads everything, unless its right to do so is put aside."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_VERSION_3 = 0x20080522  # of the system's structures
_OVERRIDES = 1 << 1 | 1 << 2  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH


class _Header(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("process", ctypes.c_int)]


class _Sets(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint32) for name in ("effective", "permitted", "inheritable")]


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Take every permission from a file or folder, and from root the right to ignore that, in this thread."""
    mode = path.stat().st_mode
    path.chmod(0)
    try:
        with _without_overrides():
            assert os.geteuid() or not os.access(path, os.R_OK, effective_ids=True)
            yield
    finally:
        if path.exists():  # and was not removed as a whole folder was
            path.chmod(mode)


@contextmanager
def _without_overrides() -> Iterator[None]:
    if os.geteuid():
        yield
        return
    libc, header, sets = ctypes.CDLL(None, use_errno=True), _Header(_VERSION_3, 0), (_Sets * 2)()
    assert libc.capget(ctypes.byref(header), sets) == 0, os.strerror(ctypes.get_errno())
    before = sets[0].effective
    sets[0].effective = before & ~_OVERRIDES
    assert libc.capset(ctypes.byref(header), sets) == 0, os.strerror(ctypes.get_errno())
    try:
        yield
    finally:
        sets[0].effective = before
        assert libc.capset(ctypes.byref(header), sets) == 0, os.strerror(ctypes.get_errno())
