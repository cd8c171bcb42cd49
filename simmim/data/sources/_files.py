"""Finding and reading the files of a source without ever failing on a single bad one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def existing_folder(path: str, what: str) -> Path:
    """The folder at `path`.

    Raises:
        ValueError: when it is missing or not a folder.
    """
    folder = Path(path)
    if not folder.is_dir():
        found = "is not a folder" if folder.exists() else "does not exist"
        raise ValueError(f"{what} {folder} {found}; check the path, relative paths start at {Path.cwd()}")
    return folder


def existing_file(path: str | Path, what: str) -> Path:
    """The file at `path`.

    Raises:
        ValueError: when it is missing or not a file.
    """
    file = Path(path)
    if not file.is_file():
        found = "is not a file" if file.exists() else "does not exist"
        raise ValueError(f"{what} {file} {found}; check the path, relative paths start at {Path.cwd()}")
    return file


def walk(folder: Path) -> Iterator[Path]:
    """Everything below `folder` that is not a folder and not hidden, sorted by its path's bytes.

    Links to files are followed, links to folders are not (they may lead round in circles): they are
    returned like files, so that the reader reports them.
    """
    entries = sorted(os.scandir(folder), key=lambda entry: os.fsencode(entry.name))
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from walk(Path(entry.path))
        else:
            yield Path(entry.path)


def read_bytes(path: Path) -> tuple[bytes, str]:
    """Content of a file and "", or b"" and the reason why it cannot be read."""
    try:
        if not path.is_file():
            return b"", "not a regular file" if os.path.lexists(path) else "file is missing"
        return path.read_bytes(), ""
    except OSError as error:
        return b"", f"cannot be read: {error.strerror or error}"


def read_class_list(path: str | Path) -> list[str]:
    """Class names from a text file, one per line, or from ADE20K's objectInfo150.txt (its last column).

    Raises:
        ValueError: when the file is missing, empty, or names a class twice.
    """
    lines = existing_file(path, "class list").read_text(encoding="utf-8").splitlines()
    lines = [line.strip() for line in lines if line.strip()]
    if lines and "\t" in lines[0] and lines[0].split("\t")[-1].strip() == "Name":
        lines = [line.split("\t")[-1].strip() for line in lines[1:]]
    if not lines or len(set(lines)) < len(lines):
        raise ValueError(f"class list {path} must name at least one class and none twice; it holds {lines[:8]} ...")
    return lines
