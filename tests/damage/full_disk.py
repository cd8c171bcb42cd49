"""A disk that is full, read-only or locked from one write on, whichever of the product's writes that is."""

from __future__ import annotations

import builtins
import errno
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from simmim.data import shard_files
from simmim.storage import model_file, parquet

_NAMED = "mkdir", "rename", "replace", "link", "unlink", "remove", "rmdir", "truncate"
_UNNAMED = "fsync", "write", "posix_fallocate", "pwrite"  # their errors name no file
_LIBRARIES = (  # what writes by itself; nothing else of the product does
    (model_file, "save_file"),
    (parquet.pq, "write_table"),
    (shard_files.pq.ParquetWriter, "write_table"),
)
_TAKES_SPACE = {"open", "mkdir", "rename", "replace", "link", "fsync", "write", "posix_fallocate", "library"}
_LOCKED = {"open", *_NAMED}
FAULTS = {  # which calls fail, and whether all do that follow
    errno.ENOSPC: (_TAKES_SPACE, False),
    errno.EACCES: (_LOCKED, False),
    errno.EROFS: (_LOCKED | _TAKES_SPACE, True),
}


class Fault:
    """Lets one call fail.

    Args:
        root: calls that change something in this folder count.
        error: a key of FAULTS.
        number: of the call, from 0.
    """

    def __init__(self, root: Path, error: int, number: int) -> None:
        self._root, self._error, self._number = str(root), error, number
        self._calls, self._lasts = FAULTS[error]
        self.seen = 0

    @property
    def is_past(self) -> bool:
        """Whether there were fewer calls."""
        return self.seen <= self._number

    @contextmanager
    def injected(self) -> Iterator[None]:
        """For a block."""
        with pytest.MonkeyPatch.context() as patch:
            for name in _NAMED:
                patch.setattr(os, name, self._failing(getattr(os, name), name, self._names_of))
            for name in _UNNAMED:
                patch.setattr(os, name, self._failing(getattr(os, name), name, self._file_of))
            patch.setattr(os, "open", self._failing(os.open, "open", self._written_by_os))
            opened = self._failing(self._opening(builtins.open), "open", self._written)
            patch.setattr(builtins, "open", opened)
            patch.setattr(io, "open", opened)
            for owner, name in _LIBRARIES:
                patch.setattr(owner, name, self._failing(getattr(owner, name), "library", self._anywhere))
            yield

    def _failing(self, call: Callable, name: str, files_of: Callable[..., tuple[str, ...]]) -> Callable:
        def called(*arguments: Any, **more: Any) -> Any:
            files = files_of(*arguments, **more)
            if name in self._calls and any(file.startswith(self._root) for file in files):
                self.seen += 1
                if self.seen - 1 == self._number or (self._lasts and self.seen > self._number):
                    named = name not in (*_UNNAMED, "library")
                    raise OSError(self._error, os.strerror(self._error), *(files[:1] if named else ()))
            return call(*arguments, **more)

        return called

    def _opening(self, call: Callable) -> Callable:
        """Files that are opened for writing count their writes."""

        def opened(*arguments: Any, **more: Any) -> Any:
            file = call(*arguments, **more)
            if not self._written(*arguments, **more):
                return file
            return _Counted(file, self._failing(file.write, "write", lambda *_: (str(arguments[0]),)))

        return opened

    def _names_of(self, *names: Any, **more: Any) -> tuple[str, ...]:
        """Of a call that gives names; one that gives a folder's descriptor is in a folder that is removed."""
        if more.get("dir_fd") is not None:
            return self._file_of(more["dir_fd"])
        return tuple(os.fsdecode(name) for name in names if isinstance(name, str | bytes | os.PathLike))

    def _file_of(self, file: int, *_: Any, **more: Any) -> tuple[str, ...]:
        return (os.readlink(f"/proc/self/fd/{file}"),) if isinstance(file, int) else self._names_of(file)

    def _anywhere(self, *_: Any, **more: Any) -> tuple[str, ...]:
        return (self._root,)

    def _written_by_os(self, file: Any, flags: int, *_: Any, **more: Any) -> tuple[str, ...]:
        return (os.fsdecode(file),) if flags & (os.O_WRONLY | os.O_RDWR) and not isinstance(file, int) else ()

    def _written(self, file: Any, mode: str = "r", *_: Any, **more: Any) -> tuple[str, ...]:
        return (os.fsdecode(file),) if {*more.get("mode", mode)} & {*"wax+"} and not isinstance(file, int) else ()


class _Counted:
    """An open file whose `write` is another function."""

    def __init__(self, file: Any, write: Callable) -> None:
        self._file, self.write = file, write

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> _Counted:
        return self

    def __exit__(self, *error: Any) -> None:
        self._file.close()
