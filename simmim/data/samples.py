"""What every source adapter hands to the packer."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from simmim.storage.reading import some_of

UNREADABLE = "cannot be read: "  # how the reason of a file begins that the system does not give


@dataclass(frozen=True, slots=True)
class RawSample:
    """One image as its source holds it; nothing is decoded yet.

    Args:
        id: unique within the source, and the same on every machine (a relative path, say).
        image: encoded bytes, empty where the source could not give any, or the file that holds them, which is read
            where it is decoded (`read`).
        label: class index from 0, or None.
        annotation: UTF-8 JSON list of COCO objects (`category_id` 1 to K), or PNG bytes of a label map
            (0 = ignore, 1 to K), or None.
        image_px: height and width that the annotation was made for, or None when nothing is known.
        origin: the file or row it was read from, for messages.
        fault: why the source cannot vouch for this sample; such a sample is quarantined with this reason.
        notes: what is odd about the sample but can be used, for the table of incidents.
    """

    id: str
    image: bytes | Path
    label: int | None = None
    annotation: bytes | None = None
    image_px: tuple[int, int] | None = None
    origin: str = ""
    fault: str = ""
    notes: str = ""

    def read(self) -> RawSample:
        """The same sample with the bytes of its image; without a label and with the reason where it cannot be read."""
        if isinstance(self.image, bytes):
            return self
        image, unreadable = read_bytes(self.image)
        if unreadable:
            return replace(self, image=b"", label=None, fault=unreadable)
        return replace(self, image=image)


class Source(Protocol):
    """The contract of a class in simmim/data/sources; its settings are its dataclass fields."""

    def samples(self) -> Iterator[RawSample]:
        """Every sample, in an order that depends on the data alone."""

    def classes(self) -> list[str]:
        """Class names by label index; [] when there are no labels."""

    def fingerprint(self) -> str:
        """Hex digest that changes when a file is added, removed or edited; cheap, so no image is read."""


def read_bytes(path: Path) -> tuple[bytes, str]:
    """Content of a file and "", or b"" and the reason why it cannot be read."""
    try:
        if not path.is_file():
            return b"", "not a regular file" if os.path.lexists(path) else "file is missing"
        return path.read_bytes(), ""
    except OSError as error:
        return b"", f"{UNREADABLE}{error.strerror or error}"


def printable(name: str | os.PathLike) -> str:
    """A file name as valid UTF-8: bytes that are not become backslash escapes."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def none_usable(data: Path | str, refused: Mapping[str, str]) -> str:
    """The sentence for a path where no image can be used, given why by name."""
    listed = some_of([f"{name} ({fault})" for name, fault in refused.items()], 3)
    return f"{data} holds no image that can be used: {listed or 'it is empty'}"


def say_refused(refused: Mapping[str, str]) -> None:
    """Print the images that could not be used, and why."""
    if refused:
        print(f"{len(refused)} images were refused:")
    for name, fault in refused.items():
        print(f"  {name}: {fault}", flush=True)
