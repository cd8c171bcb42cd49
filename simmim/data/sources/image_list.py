"""Images that a text file names, a path on each line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from simmim.data.samples import RawSample
from simmim.data.sources._files import existing_file, files_digest
from simmim.storage.reading import read_text


@dataclass(frozen=True)
class ImageList:
    """The files in the order of the list; one that is missing is quarantined by the packer.

    Args:
        file: the list; relative paths in it start at its folder. Empty lines and such that start with '#' are left out.
    """

    file: str

    def classes(self) -> list[str]:
        """None: a list has no labels."""
        return []

    def samples(self) -> Iterator[RawSample]:
        """The files; the id is the line."""
        for line, path in self._paths():
            yield RawSample(line, path, origin=str(path))

    def fingerprint(self) -> str:
        """Digest of the files' names, sizes and modification times."""
        return files_digest(self._paths())

    def _paths(self) -> list[tuple[str, Path]]:
        """Lines and the files that they name.

        Raises:
            ValueError: for a list that is missing or names nothing.
        """
        file = existing_file(self.file, "list of images")
        lines = [line.strip() for line in read_text(file).split("\n")]
        found = [(line, file.parent / line) for line in lines if line and not line.startswith("#")]
        if not found:
            raise ValueError(f"list of images {file} names no image; write a path on each line")
        return found
