"""Finds and reads the files of a source; a single unreadable file never ends a pack."""

from __future__ import annotations

import hashlib
import json
import os
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from simmim.data.samples import printable
from simmim.storage.reading import os_error, read_text

_OF_MACOS = "__MACOSX"  # a folder in its archives, of what belongs to no picture


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is none of a user's."""
    return name.startswith(".") or name == _OF_MACOS


def existing_folder(path: str, what: str) -> Path:
    """The folder at `path`.

    Raises:
        ValueError: when it is missing or not a folder.
    """
    return _existing(Path(path), what, "a folder", Path.is_dir)


def existing_file(path: str | Path, what: str) -> Path:
    """The file at `path`.

    Raises:
        ValueError: when it is missing or not a file.
    """
    return _existing(Path(path), what, "a file", Path.is_file)


def _existing(path: Path, what: str, kind: str, is_kind: Callable[[Path], bool]) -> Path:
    if not is_kind(path):
        found = f"is not {kind}" if path.exists() else "does not exist"
        raise ValueError(f"{what} {path} {found}; check the path, relative paths start at {Path.cwd()}")
    return path


def walk(folder: Path) -> Iterator[Path]:
    """Everything below `folder` that is neither a folder nor hidden, sorted by its path's bytes.

    Links to files and to folders are followed, as torchvision and timm do.

    Raises:
        ValueError: for a folder that cannot be read, and for a link to a folder that contains it.
    """
    return _walk(folder, frozenset())


def _walk(folder: Path, parents: frozenset[tuple[int, int]]) -> Iterator[Path]:
    """`parents` are device and inode of the folders that are being walked."""
    try:
        state = folder.stat()
        entries = sorted(os.scandir(folder), key=lambda entry: os.fsencode(entry.name))
    except OSError as error:
        raise ValueError(os_error(error, f"folder {printable(folder)} cannot be read")) from None
    own = state.st_dev, state.st_ino
    if own in parents:
        target = printable(os.path.realpath(folder))
        raise ValueError(f"link {printable(folder)} leads back to {target}, a folder that contains it; remove the link")
    for entry in entries:
        if is_hidden(entry.name):
            continue
        if is_folder(entry):
            yield from _walk(Path(entry.path), parents | {own})
        else:
            yield Path(entry.path)


def is_folder(entry: os.DirEntry) -> bool:
    """Whether an entry is a folder or a link to one; a link that leads nowhere or to itself is not."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def files_digest(files: Iterable[tuple[str, Path]]) -> str:
    """Hex SHA-256 over the names, sizes and modification times of files; contents are not read.

    Args:
        files: pairs of a name and the path it stands for; an absent file counts as such.
    """
    digest = hashlib.sha256()
    for name, path in files:
        try:
            state = path.stat()
            digest.update(f"{printable(name)}\0{state.st_size}\0{state.st_mtime_ns}\n".encode())
        except (OSError, ValueError):  # the latter for a name that no file can have
            digest.update(f"{printable(name)}\0absent\n".encode())
    return digest.hexdigest()


def files_below(folder: Path) -> Iterator[tuple[str, Path]]:
    """Every file below a folder with its path below it, as `files_digest` takes them."""
    return ((str(path.relative_to(folder)), path) for path in walk(folder))


def lists_given(**paths: str) -> list[tuple[str, Path]]:
    """Those settings that name a file, as `files_digest` takes them."""
    return [(setting, Path(path)) for setting, path in paths.items() if path]


def normal_form(name: str) -> str:
    """A name in Unicode's composed form (NFC): macOS stores accented names decomposed, other systems do not."""
    return unicodedata.normalize("NFC", name)


def read_class_list(path: str | Path) -> list[str]:
    """Class names (NFC) from a text file, one per line, or the last column of ADE20K's objectInfo150.txt or .csv.

    Empty lines and such that start with '#' are left out, as in a list of images.

    Raises:
        ValueError: when the file is missing, empty, JSON, or names a class twice.
    """
    text = normal_form(read_text(existing_file(path, "class list")))
    if _is_json(text):
        raise ValueError(f"class list {path} holds JSON; write one name on each line")
    lines = text.split("\n")
    lines = [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]
    mark = next((mark for mark in "\t," if lines and lines[0].rpartition(mark)[1:] == (mark, "Name")), "")
    if mark:
        rows = [line.split(mark) for line in lines]
        if odd := [line for line, row in zip(lines, rows) if len(row) != len(rows[0])]:
            raise ValueError(f"class list {path}: '{odd[0]}' has not the {len(rows[0])} cells of its header")
        lines = [row[-1].strip() for row in rows[1:]]
    if not lines or len(set(lines)) < len(lines):
        raise ValueError(f"class list {path} must name at least one class and none twice; it holds {lines[:8]} ...")
    return lines


def _is_json(text: str) -> bool:
    try:
        return isinstance(json.loads(text), list | dict)
    except (ValueError, RecursionError):
        return False
