"""A packed data set: Parquet shards that any reader opens, an index written last, and checked random access to them.

    shard-00000.parquet ...   sample_id, image, sha256, label, height, width, annotation
    samples.parquet           the same without the bytes, and where in which shard they lie
    quarantine.parquet        what was left out or corrected, and why
    index.json                digests of all of these and of the source's files, classes, counts, digest of the set;
                              where images are no pictures: their bands and bits, mean and deviation of each band
    journal.json              what packing goes on from (`simmim.data.journal`); reading needs no such file

Parquet keeps the images uncompressed and plain, so one image is one read at a known offset. Neither Parquet's defaults
nor JPEG notice a flipped bit, so a process verifies the SHA-256 of every sample when it reads it for the first time.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from simmim.data.bands import Bands
from simmim.data.index import INDEX, read_index
from simmim.data.layout import PLACES, QUARANTINE, SAMPLES, content_digest
from simmim.data.packing import pack
from simmim.storage.files import sha256_bytes, sha256_file
from simmim.storage.reading import os_error, reading

__all__ = ["Shards", "pack"]

_WHERE = "shard", *PLACES
_AT_ONCE = 65_536  # rows


class Shards:
    """Random access to a packed data set.

    Args:
        folder: what `pack` wrote.

    Raises:
        ValueError: when the folder is no complete packed data set, or when its index, its samples and its shards do
            not belong together; at reading, when bytes differ from what was packed.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self._index = read_index(self.folder)
        self._names = [shard["file"] for shard in self._index["shards"]]
        self._descriptors: dict[int, int] = {}
        self._verified = np.zeros(len(self), bool)
        self._check_files()
        self._rows = self._read_rows()  # now, so that workers of a loader share it

    def __len__(self) -> int:
        return self._index["samples"]

    def __reduce__(self):
        return Shards, (self.folder,)

    def __del__(self) -> None:
        for descriptor in self.__dict__.get("_descriptors", {}).values():
            os.close(descriptor)

    @property
    def classes(self) -> list[str]:
        """Class names: by label index, or by annotation value minus one; [] when there are none."""
        return list(self._index["classes"])

    @property
    def digest(self) -> str:
        """Hex digest of the whole set: equal digests mean equal bytes, labels, classes and order."""
        return self._index["digest"]

    @property
    def sample_digests(self) -> np.ndarray:
        """SHA-256 of every sample's image and annotation, uint8 [n, 32]."""
        return self._rows["sha256"]

    @functools.cached_property
    def bands(self) -> Bands | None:
        """Bands, bits and statistics of the images; None for a set of pictures, 8-bit RGB or grey."""
        found = self._index.get("bands")
        return Bands(found["count"], found["bits"], tuple(found["mean"]), tuple(found["std"])) if found else None

    @functools.cached_property
    def labels(self) -> np.ndarray:
        """Class index of every sample, int64 [n]; -1 where there is none."""
        return self._rows["label"]

    @functools.cached_property
    def ids(self) -> list[str]:
        """Name of every sample in its source."""
        return self._column("sample_id").to_pylist()

    @functools.cached_property
    def sizes(self) -> np.ndarray:
        """Height and width of every stored image, int32 [n, 2]."""
        return np.stack([self._rows["height"], self._rows["width"]], axis=1)

    def image_bytes(self, i: int) -> bytearray:
        """Verified encoded bytes of image i."""
        return self.sample(i)[0]

    def annotation(self, i: int) -> bytearray | None:
        """Verified annotation of image i, read alone: a JSON list of COCO objects, or a label map as PNG, or None.

        Raises:
            IndexError, ValueError: as `sample`.
        """
        shard, _, span = self._place(i)
        annotation = self._read(shard, span)
        if annotation is not None and sha256_bytes(annotation) != self._annotation_sha256s[i].as_py():
            raise self._altered(i)
        return annotation

    def sample(self, i: int) -> tuple[bytearray, bytearray | None]:
        """Image and annotation of sample i, verified together when they are read for the first time.

        Raises:
            IndexError: when i is not in 0 to n - 1.
            ValueError: when the bytes are not those that were packed.
        """
        shard, *spans = self._place(i)
        image, annotation = (self._read(shard, span) for span in spans)
        if not self._verified[i]:
            if content_digest(image, annotation) != self._rows["sha256"][i].tobytes():
                raise self._altered(i)
            self._verified[i] = True
        return image, annotation

    def verify(self) -> None:
        """Read every byte of every file once.

        Raises:
            ValueError: naming the first sample, or else the first file, that is not as it was packed.
        """
        for i in range(len(self)):
            self.sample(i)
        expected = {shard["file"]: shard["sha256"] for shard in self._index["shards"]}
        for name, sha256 in (expected | {QUARANTINE: self._index["quarantine_sha256"]}).items():
            if _digest(self.folder / name) != sha256:
                raise ValueError(f"{self.folder / name} is missing or not the file that was packed; pack again")

    def _read_rows(self) -> dict[str, np.ndarray]:
        """What every read needs, by column: numbers [n], and digests as bytes [n, 32]; no copy is in memory."""
        path = self.folder / SAMPLES
        if _digest(path) != self._index["samples_sha256"]:
            raise ValueError(f"{path} is missing or not the file that {INDEX} was written for; pack again")
        numbers = {name: self._column(name).fill_null(-1).to_numpy() for name in ("label", "height", "width", *_WHERE)}
        with reading(path, "a table of samples", "pack again"):
            parts = pq.ParquetFile(path, pre_buffer=False).iter_batches(_AT_ONCE, columns=["sha256"], use_threads=False)
            digests = [_bytes_of(part.column(0)) for part in parts]
        return numbers | {"sha256": np.concatenate([np.empty((0, 32), np.uint8), *digests])}

    def _column(self, name: str) -> pa.ChunkedArray:
        """A column of the table of samples."""
        path = self.folder / SAMPLES
        with reading(path, "a table of samples", "pack again"):
            return pq.ParquetFile(path, pre_buffer=False).read([name], use_threads=False)[name]

    @functools.cached_property
    def _annotation_sha256s(self) -> pa.ChunkedArray:
        return self._column("annotation_sha256")

    def _place(self, i: int) -> tuple[int, tuple[int, int], tuple[int, int]]:
        """Number of the shard of sample i, and offset and length of its image and of its annotation."""
        if not 0 <= i < len(self):
            raise IndexError(f"sample {i} of {len(self)} in {self.folder}")
        shard, *span = (int(self._rows[name][i]) for name in _WHERE)
        return shard, (span[0], span[1]), (span[2], span[3])

    def _altered(self, i: int) -> ValueError:
        shard, row, sample_id = (self._column(name)[i].as_py() for name in ("shard", "row", "sample_id"))
        place = f"{self.folder / self._names[shard]}, row {row}, sample {sample_id!r}"
        return ValueError(f"{place}: the bytes are not those that were packed; delete the folder and pack again")

    def _check_files(self) -> None:
        for shard in self._index["shards"]:
            path = self.folder / shard["file"]
            if not path.is_file():
                raise ValueError(f"{path} is missing; copy it back or pack again")
            if path.stat().st_size != shard["bytes"]:
                raise ValueError(f"{path} has {path.stat().st_size} bytes, it was packed with {shard['bytes']}")

    def _read(self, shard: int, span: tuple[int, int]) -> bytearray | None:
        """The bytes at (offset, length) of a shard; None at offset -1."""
        offset, length = span
        if offset < 0:
            return None
        try:
            if shard not in self._descriptors:
                self._descriptors[shard] = os.open(self.folder / self._names[shard], os.O_RDONLY | os.O_CLOEXEC)
            content = bytearray(length)
            del content[os.preadv(self._descriptors[shard], [content], offset) :]
            return content
        except OSError as error:
            raise ValueError(os_error(error, f"{self.folder / self._names[shard]} cannot be read")) from None


def _bytes_of(digests: pa.StringArray) -> np.ndarray:
    """Hex digests as bytes, uint8 [n, 32]; their texts lie one after another in memory."""
    begin, end = 2 * 32 * digests.offset, 2 * 32 * (digests.offset + len(digests))
    texts = np.frombuffer(digests.buffers()[2], np.uint8)[begin:end].tobytes().decode()
    return np.frombuffer(bytes.fromhex(texts), np.uint8).reshape(-1, 32)


def _digest(path: Path) -> str:
    """SHA-256 of a file, "" where there is none."""
    if not path.is_file():
        return ""
    with reading(path, "a whole file", "pack again"):
        return sha256_file(path)
