"""What a power cut may leave of a folder: all that was flushed, and any part of the rest.

More pessimistic than ext4 or XFS: a file that was not flushed has the bytes of its last flush, half of its new ones or
all; a folder that was not flushed has its names of the last flush or of any moment since, whatever other folders have.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Names = dict[str, int]  # of a folder: the inode of each
Tree = dict[str, Any]  # bytes of a file, a tree of a folder, by name
CHANGES = "mkdir", "rename", "replace", "link", "unlink", "remove", "rmdir"
_ALL_CHOICES = 64  # so many combinations of folders are tried, more of them one folder at a time


class Disk:
    """Watches a folder while something is saved in it.

    Args:
        root: what it holds at the beginning is flushed.
    """

    def __init__(self, root: Path) -> None:
        self._root, self._held = root, {}  # files are held open, so that no inode is used again
        self._flushed: dict[int, bytes] = {}
        self._present: dict[int, bytes] = {}
        self._names: dict[int, list[Names]] = {}  # as flushed, and each since
        self.reported = -1  # how far the saver has said to be, set by who watches
        self._states: dict[Any, tuple[Tree, int]] = {}
        self._look()
        self._flushed = dict(self._present)
        self._names = {folder: versions[-1:] for folder, versions in self._names.items()}

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Note, at every change of the folder in the block, what a power cut would leave."""
        with pytest.MonkeyPatch.context() as patch:
            for name in CHANGES:
                patch.setattr(os, name, self._noted(getattr(os, name)))
            patch.setattr(os, "fsync", self._noted(os.fsync, lambda file: os.fstat(file).st_ino))
            flushed = self._noted(np.memmap.flush, lambda array: os.stat(array.filename).st_ino)  # as fsync, in Linux
            patch.setattr(np.memmap, "flush", flushed)
            try:
                yield
            finally:
                self.note()
                for opened in self._held.values():
                    os.close(opened)

    def note(self) -> None:
        """Add what a power cut would leave now to the states."""
        self._look()
        for tree in self._left():
            self._states[_frozen(tree)] = tree, self.reported

    def states(self) -> list[tuple[Tree, int]]:
        """All different ones, with the most that was reported before."""
        return list(self._states.values())

    def _noted(self, change: Callable, flushes: Callable[[Any], int] | None = None) -> Callable:
        def changed(*arguments: Any, **more: Any) -> Any:
            self.note()
            inode = flushes(arguments[0]) if flushes else None
            result = change(*arguments, **more)
            self._look()
            if inode in self._names:
                self._names[inode] = self._names[inode][-1:]
            elif inode in self._present:
                self._flushed[inode] = self._present[inode]
            self.note()
            return result

        return changed

    def _look(self, folder: Path | None = None) -> None:
        folder = folder or self._root
        names = {}
        for path in sorted(folder.iterdir()):
            names[path.name] = inode = path.stat().st_ino
            if inode not in self._held:
                self._held[inode] = os.open(path, os.O_RDONLY)
            if path.is_dir():
                self._look(path)
            else:
                self._present[inode] = path.read_bytes()
        versions = self._names.setdefault(folder.stat().st_ino, [{}])
        if versions[-1] != names:
            versions.append(names)

    def _left(self) -> Iterator[Tree]:
        root = self._root.stat().st_ino
        unflushed = [inode for inode, content in self._present.items() if self._flushed.get(inode) != content]
        for names in self._choices():
            yield self._tree(root, names, self._present | {inode: self._flushed.get(inode, b"") for inode in unflushed})
            halves = {inode: self._present[inode][: len(self._present[inode]) // 2] for inode in unflushed}
            for part in ({}, halves, *({inode: half} for inode, half in halves.items())):
                yield self._tree(root, names, self._present | part)

    def _choices(self) -> Iterator[dict[int, Names]]:
        flushed, present = ({folder: each[end] for folder, each in self._names.items()} for end in (0, -1))
        changed = {folder: versions for folder, versions in self._names.items() if len(versions) > 1}
        if np.prod([len(versions) for versions in changed.values()]) <= _ALL_CHOICES:
            for chosen in itertools.product(*changed.values()):
                yield flushed | dict(zip(changed, chosen))
            return
        for folder, versions in changed.items():
            for rest, names in itertools.product((flushed, present), versions):
                yield rest | {folder: names}

    def _tree(self, folder: int, names: dict[int, Names], contents: dict[int, bytes]) -> Tree:
        return {
            name: self._tree(inode, names, contents) if inode in names else contents[inode]
            for name, inode in names[folder].items()
        }


def write_tree(folder: Path, tree: Tree) -> None:
    """Make a folder that holds a tree."""
    folder.mkdir()
    for name, content in tree.items():
        if isinstance(content, dict):
            write_tree(folder / name, content)
        else:
            (folder / name).write_bytes(content)


def _frozen(tree: Tree) -> Any:
    return frozenset((name, _frozen(each) if isinstance(each, dict) else each) for name, each in tree.items())
