"""Parquet files in the Hugging Face image layout: a struct of bytes and path, a label column, classes in the schema."""

from __future__ import annotations

import glob
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from simmim.data.samples import RawSample, printable
from simmim.data.sources._files import read_class_list

_IMAGE_COLUMNS = "image", "img"
_BATCH = 64


@dataclass(frozen=True)
class HfParquet:
    """Images and labels of one split.

    Args:
        files: one Parquet file, or a pattern such as data/train-*.parquet.
        label_column: column of int labels, "" for a set without labels; a label below 0 counts as none.
        classes_file: text file with one class name per line; without it the names in the schema count.
    """

    files: str
    label_column: str = "label"
    classes_file: str = ""

    def classes(self) -> list[str]:
        """Class names by label index; [] without labels."""
        if not self.label_column:
            return []
        if self.classes_file:
            return read_class_list(self.classes_file)
        path = self._paths()[0]
        metadata = _open(path).schema_arrow.metadata or {}
        try:
            features = json.loads(metadata[b"huggingface"])["info"]["features"]
            return [str(name) for name in features[self.label_column]["names"]]
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{path} does not name the classes of column {self.label_column!r} in its schema; give classes_file, "
                'or label_column="" for a set without labels'
            ) from error

    def samples(self) -> Iterator[RawSample]:
        """Rows in file order; the id is the file's name and the row."""
        classes = len(self.classes())
        for path in self._paths():
            parquet = _open(path)
            columns = [_image_column(path, parquet.schema_arrow), *([self.label_column] if self.label_column else [])]
            if self.label_column not in ["", *parquet.schema_arrow.names]:
                raise ValueError(f"{path} has no column {self.label_column!r}, only {parquet.schema_arrow.names}")
            rows = _rows(path, parquet, columns)
            for row, (image, label) in enumerate(rows):
                yield _sample(
                    f"{printable(path.name)}:{row:08d}", f"{printable(path)}, row {row}", image, label, classes
                )

    def _paths(self) -> list[Path]:
        paths = sorted(Path(found) for found in glob.glob(self.files))
        if not paths:
            raise ValueError(f"no file matches {self.files}; relative paths start at {Path.cwd()}")
        return paths


def _open(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path, page_checksum_verification=True)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{path} is not a readable Parquet file ({error}); fetch it again") from error


def _image_column(path: Path, schema: pa.Schema) -> str:
    for name in _IMAGE_COLUMNS:
        if name in schema.names:
            kind = schema.field(name).type
            if pa.types.is_struct(kind) and "bytes" in [field.name for field in kind]:
                return name
            raise ValueError(f"column {name!r} of {path} is {kind}, it must be a struct with bytes and path")
    raise ValueError(f"{path} has no column {' or '.join(map(repr, _IMAGE_COLUMNS))}, only {schema.names}")


def _rows(path: Path, parquet: pq.ParquetFile, columns: list[str]) -> Iterator[tuple[dict | None, int | None]]:
    try:
        for batch in parquet.iter_batches(_BATCH, columns=columns):
            labels = batch.column(columns[1]).to_pylist() if len(columns) > 1 else [None] * len(batch)
            yield from zip(batch.column(columns[0]).to_pylist(), labels)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{path} is damaged ({error}); fetch it again") from error


def _sample(sample_id: str, origin: str, image: dict | None, label: int | None, classes: int) -> RawSample:
    content = (image or {}).get("bytes") or b""
    fault = "" if content else "the row holds no image bytes"
    if label is not None and label >= classes > 0:
        fault = f"label {label} is not below the number of classes, {classes}"
    label = None if fault or label is None or label < 0 else int(label)
    return RawSample(sample_id, content, label, origin=origin, fault=fault)
