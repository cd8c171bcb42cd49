"""What can happen to a file: each damage changes it in place, for a block."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from helpers.locked import locked


def _draw(end: int, number: int) -> int:
    """A number below `end`, another one for every case."""
    return int.from_bytes(hashlib.sha256(number.to_bytes(4, "big")).digest()[:8], "big") % max(end, 1)


def flip(content: bytes, number: int) -> bytes:
    """One bit anywhere."""
    place, bit = divmod(_draw(8 * len(content), number), 8)
    return content[:place] + bytes([content[place] ^ 1 << bit]) + content[place + 1 :]


def cut(content: bytes, number: int) -> bytes:
    """The beginning of it."""
    return content[: _draw(len(content), number)]


def empty(content: bytes, number: int) -> bytes:
    """Nothing."""
    return b""


def zeros(content: bytes, number: int) -> bytes:
    """The same length, but a tail that was never written."""
    kept = _draw(len(content), number)
    return content[:kept] + bytes(len(content) - kept)


def moved(content: bytes, number: int) -> bytes:
    """Its second half before its first."""
    half = len(content) // 2
    return content[half:] + content[:half]


def longer(content: bytes, number: int) -> bytes:
    """Something behind its end."""
    return content + content[-7:]


CONTENTS: dict[str, Callable[[bytes, int], bytes]] = {
    each.__name__: each for each in (flip, cut, empty, zeros, moved, longer)
}
OTHERS = "folder", "locked", "swapped"
NAMES = (*CONTENTS, *OTHERS)


@contextmanager
def damaged(path: Path, damage: str, number: int, other: Path) -> Iterator[None]:
    """The file with a damage, for the block.

    Args:
        number: of the case, which chooses the place.
        other: what takes its place where it is swapped.
    """
    content = path.read_bytes()
    path.unlink()  # its content may stand under other names
    if damage == "folder":
        path.mkdir()
    elif damage == "swapped":
        shutil.copyfile(other, path)
    else:
        path.write_bytes(CONTENTS[damage](content, number) if damage in CONTENTS else content)
    if damage != "locked":
        yield
        return
    with locked(path):
        yield
