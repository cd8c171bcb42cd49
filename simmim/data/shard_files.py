"""The shards of a packed data set: filled with rows, written plain, and read back for the places of their bytes."""

from __future__ import annotations

import dataclasses
import itertools
import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from simmim.data.journal import Finished
from simmim.data.layout import SAMPLES_SCHEMA, SHARD_SCHEMA, content_sha256
from simmim.data.outcomes import Outcome
from simmim.storage.files import sha256_bytes, sha256_file, whole_file

_ROW_GROUP = 64
_CONTENT = "image", "annotation"
_LENGTH_BYTES = 4  # between two values that are stored plain
_OPTIONS = {"compression": "none", "use_dictionary": False, "write_page_checksum": True, "write_statistics": False}


class Filling:
    """The next outcomes, as many as fill a shard.

    Args:
        outcomes: of the source's samples, taken from no further than the last row that fits.
        rows: of a whole shard; the last one has fewer.
    """

    def __init__(self, outcomes: Iterator[Outcome], rows: int) -> None:
        self.begin, self.end, self.rows = -1, -1, 0  # places of the first sample and behind the last, usable ones
        self.incidents: list[dict[str, str]] = []
        self._groups = self._taken(outcomes, rows)
        self._first = next(self._groups, [])

    def __iter__(self) -> Iterator[list[dict[str, Any]]]:
        """Rows of `SHARD_SCHEMA`, in row groups; none where the source has ended."""
        return itertools.chain([self._first] if self._first else [], self._groups)

    def _taken(self, outcomes: Iterator[Outcome], rows: int) -> Iterator[list[dict[str, Any]]]:
        while group := list(itertools.islice(self._rows(outcomes), min(_ROW_GROUP, rows - self.rows))):
            self.rows += len(group)
            yield group

    def _rows(self, outcomes: Iterator[Outcome]) -> Iterator[dict[str, Any]]:
        for outcome in outcomes:
            self.begin = outcome.place if self.begin < 0 else self.begin
            self.end = outcome.place + 1
            if outcome.incident:
                self.incidents.append(outcome.incident)
            if outcome.row:
                yield outcome.row


def write_shard(folder: Path, number: int, filling: Filling) -> Finished:
    """Write a shard; its entry for the journal is without digest and size until it was read back."""
    path = folder / f"shard-{number:05d}.parquet"
    with whole_file(path) as temporary, pq.ParquetWriter(temporary, SHARD_SCHEMA, **_OPTIONS) as writer:
        for group in filling:
            writer.write_table(pa.Table.from_pylist(group, schema=SHARD_SCHEMA))
    return Finished(number, filling.begin, filling.end, path.name, filling.rows, incidents=filling.incidents)


def read_back(folder: Path, shard: Finished) -> tuple[Finished, pa.Table]:
    """A shard that was just written, with its digest and size, and its table of `SAMPLES_SCHEMA`."""
    path = folder / shard.file
    whole = dataclasses.replace(shard, sha256=sha256_file(path), bytes=path.stat().st_size)
    return whole, samples_of(path, shard.number)


def samples_if_whole(folder: Path, shard: Finished) -> pa.Table | None:
    """The table of `SAMPLES_SCHEMA` of a shard, None where it is not the file that was finished."""
    path = folder / shard.file
    is_whole = path.is_file() and path.stat().st_size == shard.bytes and sha256_file(path) == shard.sha256
    return samples_of(path, shard.number) if is_whole else None


def samples_of(path: Path, number: int) -> pa.Table:
    """The table of `SAMPLES_SCHEMA` of shard `number`: every byte of it is read and checked."""
    shard = pq.ParquetFile(path, page_checksum_verification=True)
    samples: list[dict[str, Any]] = []
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as written:
        for group in range(shard.num_row_groups):
            starts = {name: _first_page(shard, group, name) for name in _CONTENT}
            for row in shard.read_row_group(group, use_threads=False).to_pylist():
                samples.append(_sample(row, written, starts) | {"shard": number, "row": len(samples)})
    return pa.Table.from_pylist(samples, schema=SAMPLES_SCHEMA)


def _sample(row: dict[str, Any], written: mmap.mmap, starts: dict[str, int]) -> dict[str, Any]:
    """A row without its bytes, and where these lie."""
    image, annotation = (row.pop(name) for name in _CONTENT)
    assert content_sha256(image, annotation) == row["sha256"], "Parquet gave back other bytes"
    row |= _place(written, "image", image, starts) | _place(written, "annotation", annotation, starts)
    return row | {"annotation_sha256": None if annotation is None else sha256_bytes(annotation)}


def _first_page(shard: pq.ParquetFile, group: int, column: str) -> int:
    return shard.metadata.row_group(group).column(SHARD_SCHEMA.get_field_index(column)).data_page_offset


def _place(written: mmap.mmap, name: str, content: bytes | None, starts: dict[str, int]) -> dict[str, int]:
    """Offset and length of one value; values lie in row order, some header bytes apart."""
    if content is None:
        return {f"{name}_offset": -1, f"{name}_bytes": 0}
    offset = starts[name] + _LENGTH_BYTES
    if written[offset : offset + len(content)] != content:  # the first of a page, which has a header
        offset = written.find(content, starts[name])
    assert offset >= 0, "Parquet did not store this column plain"
    starts[name] = offset + len(content)
    return {f"{name}_offset": offset, f"{name}_bytes": len(content)}
