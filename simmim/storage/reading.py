"""Reading files that may be missing, locked, damaged or of another kind: one sentence with the file and a cure."""

from __future__ import annotations

import codecs
import errno
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_CURES = {
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "check the path",
    errno.EEXIST: "move away what stands there",
    errno.ELOOP: "mend the link",
    errno.ENAMETOOLONG: "shorten the name",
    errno.EACCES: "check its permissions",
    errno.EPERM: "check its permissions",
    errno.EISDIR: "a file must stand there, not a folder",
    errno.EROFS: "write to another place",
    errno.ENOSPC: "make room and start again",
    errno.EDQUOT: "make room and start again",
    errno.EMFILE: "allow more open files (ulimit -n)",
}
_CHECKPOINTS = ".pth", ".pt", ".ckpt", ".bin"
_LOOK = "see whether its disk is sound and can be reached"


@contextmanager
def reading(path: Path | str, what: str, cure: str) -> Iterator[None]:
    """Say in one sentence why a file cannot be opened, or that what the block makes of it is not `what` it should be.

    The block holds the call that decodes, and nothing else: libraries raise nearly anything for a damaged file, most
    of it without its name.

    Args:
        what: a kind of file with its article, such as "a Parquet file".
        cure: what to do about a damaged one.

    Raises:
        ValueError: that sentence.
    """
    try:
        _check_is_file(path)
    except OSError as error:
        raise ValueError(os_error(error, f"{path} cannot be read")) from None
    try:
        yield
    except Exception as error:
        if said := stand_in(path):
            raise ValueError(f"{path} is {said}") from error
        raise ValueError(f"{path} is not {what}, or is damaged ({one_line(error)}); {cure}") from error


def stand_in(path: Path | str) -> str:
    """What a download left in the place of a file, and what to do; "" for anything else."""
    with open(path, "rb") as file:
        begins = file.read(64)
    if begins.startswith(b"version https://git-lfs."):
        return "a pointer of Git LFS, not the file itself; fetch that with `git lfs pull`"
    if begins.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return "a web page, not the file itself; fetch that by a direct link"
    return ""


def _check_is_file(path: Path | str) -> None:
    """Open as the system does: libraries take a folder for an empty table, and a locked file for a missing one."""
    opened = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # would wait at a pipe that nobody writes to
    try:
        mode = os.fstat(opened).st_mode
    finally:
        os.close(opened)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "not a regular file")


def some_of(names: list[str], at_most: int = 8) -> str:
    """The first of some names, and how many more there are, for messages."""
    more = len(names) - at_most
    return ", ".join(names[:at_most]) + (f" and {more} more" if more > 0 else "")


def refuse_existing(path: Path, overwrite: bool) -> None:
    """Refuse to replace what stands at a path unless that was asked for.

    Raises:
        ValueError: with its name.
    """
    if path.exists() and not overwrite:
        raise ValueError(f"{path} exists; --overwrite replaces it")


def refuse_folder(path: Path | str) -> None:
    """Refuse a folder in the place of a file before the work whose result could not be written there.

    Raises:
        IsADirectoryError: with its name.
    """
    if os.path.isdir(path):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))


def os_error(error: OSError, subject: str = "") -> str:
    """What the system said of a file, and what to do.

    Args:
        subject: begins the sentence; the name that the error gives where it is left out.
    """
    named = [os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, str | bytes)]
    subject = subject or " -> ".join(named)
    said = f"{error.strerror or one_line(error)}; {_CURES.get(error.errno or 0, _LOOK)}"
    return f"{subject}: {said}" if subject else said


def one_line(error: BaseException) -> str:
    """The message of an error without line breaks, its kind where it has none."""
    said = "nested too deep" if isinstance(error, RecursionError) else " ".join(str(error).split())
    return f"{said[:400]} ..." if len(said) > 400 else said or type(error).__name__


def read_text(path: Path | str) -> str:
    """A text file in UTF-8, or in UTF-16 with a byte-order mark; without the mark, lines ending with a line feed.

    Raises:
        ValueError: when the file is missing or no such text.
    """
    with reading(path, "a text file", "copy it again"):
        content = Path(path).read_bytes()
    encoding = "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_json(path: Path | str, what: str, cure: str) -> Any:
    """The value in a JSON file.

    Raises:
        ValueError: as `reading`.
    """
    with reading(path, what, cure):
        return json.loads(Path(path).read_bytes())  # which knows UTF-8, UTF-16 and their marks


def existing(path: Path | str, what: str) -> Path:
    """An absolute path, `~` expanded.

    Raises:
        ValueError: when nothing is there.
    """
    full = Path(os.path.abspath(Path(path).expanduser()))
    if not full.exists():
        near = next((each for each in full.parents if each.exists()), Path("/"))
        raise ValueError(f"{what} {path} does not exist ({near} does); check the path")
    return full


def encoder_at(path: Path | str) -> Path:
    """An encoder file, also of a run folder that is named.

    Raises:
        ValueError: when there is none, or a file of another kind.
    """
    found = existing(path, "--encoder")
    if found.suffix in _CHECKPOINTS and found.is_file():
        raise ValueError(
            f"--encoder {path} is a checkpoint of others; if it is a released one, "
            f"`simmim convert --from {path} --to encoder.safetensors` makes an encoder file of it"
        )
    file = found / "encoder.safetensors" if found.is_dir() else found
    if not file.is_file():
        raise ValueError(
            f"--encoder {path} holds no encoder.safetensors; name a run folder that is finished, or a file"
        )
    return file
