"""Files that are written whole or not at all, and digests of files."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from simmim import said


@contextmanager
def whole_file(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside `path`; once the block succeeds, it is flushed to disk and renamed to `path`.

    The file has the mode that the umask gives, whatever the writer made of it (safetensors makes 0600).
    """
    path = Path(path)
    make_folder(path.parent)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    with named(path):
        try:
            temporary.unlink(missing_ok=True)
            temporary.touch()
            mode = temporary.stat().st_mode
            yield temporary
            temporary.chmod(mode)
            with open(temporary, "rb") as written:
                os.fsync(written.fileno())
            os.replace(temporary, path)
            sync_folder(path.parent)
            said.saved(path)
        finally:
            with suppress(OSError):  # of a disk that nothing can be removed from: the first error says more
                temporary.unlink(missing_ok=True)


def draft_of(path: Path) -> Path:
    """Where `whole_folder` has a folder filled."""
    return path.with_name(f".{path.name}.part")


def is_part(path: Path) -> bool:
    """Whether a file or folder is one that is being written, or that a killed process has left."""
    return path.name.startswith(".") and path.name.endswith(".part")


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder beside `path`; once the block succeeds, it replaces `path`. What fails leaves nothing."""
    draft = draft_of(path)
    shutil.rmtree(draft, ignore_errors=True)
    try:
        make_folder(draft)
        yield draft
        replace_folder(path, draft)
        said.saved(path)
    finally:
        shutil.rmtree(draft, ignore_errors=True)  # a full disk gets its space back


def replace_folder(path: Path, draft: Path) -> None:
    """Give the folder `draft`, whose files are flushed, the name `path`; what stood there stays where that fails."""
    sync_folder(draft)
    before = path.with_name(f".{path.name}.before.part")
    remove(before)
    if path.is_dir() or path.is_symlink():
        path.rename(before)
    try:
        draft.rename(path)
        sync_folder(draft.parent)
    except OSError:
        if before.is_dir() or before.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
            before.rename(path)
        raise
    with suppress(OSError):  # the new folder stands; the next one tries again
        remove(before)


def make_folder(path: Path) -> None:
    """Make a folder and what is missing above it, so that a power cut takes none of them."""
    if path.is_dir():
        return
    above = path.parent
    make_folder(above)
    path.mkdir(exist_ok=True)
    sync_folder(above)


def write_text(path: Path | str, text: str) -> None:
    """Write a text file, whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def remove(path: Path) -> None:
    """Remove a file or a folder with all it holds, where there is one."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make renames inside a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with named(folder):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def named(path: Path | str) -> Iterator[None]:
    """Give the system's errors the name of what is written: those of a full disk have none."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from error


def sha256_file(path: Path | str) -> str:
    """Hex SHA-256 of a file's content."""
    with open(path, "rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def sha256_bytes(content: bytes) -> str:
    """Hex SHA-256 of some bytes."""
    return hashlib.sha256(content).hexdigest()
