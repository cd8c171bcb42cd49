"""Parquet files in the Hugging Face image layout: a struct of bytes and path, a label column, classes in the schema."""

from __future__ import annotations

import glob
import json
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from simmim.data.samples import RawSample, printable
from simmim.data.sources._files import files_digest, lists_given, normal_form, read_class_list
from simmim.storage.reading import one_line, reading

_IMAGE_COLUMNS = "image", "img"
_BATCH = 64
_LABEL_TYPES = (
    pa.types.is_integer,
    pa.types.is_floating,
    pa.types.is_boolean,
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_string_view,
    pa.types.is_null,
)
Label = int | float | str | None


@dataclass(frozen=True)
class HfParquet:
    """Images and labels of one split.

    Args:
        files: one Parquet file, or a pattern such as data/train-*.parquet, of files that name the same classes.
        label_column: column of class indices or class names, "" for a set without labels. An index below 0, NaN and
            null count as no label.
        classes_file: text file with one class name per line; without it the names in the schema are used.
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
        path, *others = self._paths()
        _check_labels(path, _open(path).schema_arrow, self.label_column)
        names = _class_names(path, self.label_column)
        if not names:
            raise ValueError(
                f"{path} does not name the classes of column {self.label_column!r} in its schema; give classes_file, "
                'or label_column="" for a set without labels'
            )
        if odd := [each for each in others if _class_names(each, self.label_column) not in (names, [])]:
            raise ValueError(f"{odd[0]} names other classes in its schema than {path}: pack them apart, as two sets")
        return names

    def samples(self) -> Iterator[RawSample]:
        """Rows in file order; the id is the file's name and the row."""
        classes = self.classes()
        for path in self._paths():
            parquet = _open(path)
            image_column = _image_column(path, parquet.schema_arrow)
            if self.label_column:
                _check_labels(path, parquet.schema_arrow, self.label_column)
            for row, (image, label) in enumerate(_rows(path, parquet, image_column, self.label_column)):
                name, origin = f"{printable(path.name)}:{row:08d}", f"{printable(path)}, row {row}"
                yield _sample(name, origin, image, label, classes)

    def fingerprint(self) -> str:
        """Digest of the files' names, sizes and modification times."""
        files = [(path.name, path) for path in self._paths()]
        return files_digest([*files, *lists_given(classes_file=self.classes_file)])

    def _paths(self) -> list[Path]:
        """The files; what is there by its name is no pattern, whatever brackets are in it."""
        named = Path(self.files)
        there = next(path for path in (named, *named.parents) if os.path.exists(path))
        rest = str(named.relative_to(there))
        paths = [there] if there == named else sorted(there / found for found in glob.glob(rest, root_dir=there))
        if not paths:
            raise ValueError(f"no file matches {self.files}; relative paths start at {Path.cwd()}")
        return paths


def _open(path: Path) -> pq.ParquetFile:
    with reading(path, "a readable Parquet file", "fetch it again"):
        return pq.ParquetFile(path, page_checksum_verification=True)


def _class_names(path: Path, column: str) -> list[str]:
    """Those in the schema of a file, [] where it has none."""
    metadata = _open(path).schema_arrow.metadata or {}
    try:
        names = json.loads(metadata[b"huggingface"])["info"]["features"][column]["names"]
    except (KeyError, TypeError, ValueError, RecursionError):
        return []
    return [normal_form(str(name)) for name in names] if isinstance(names, list) else []


def _image_column(path: Path, schema: pa.Schema) -> str:
    for name in _IMAGE_COLUMNS:
        if name in schema.names:
            kind = schema.field(name).type
            if pa.types.is_struct(kind) and any(field.name == "bytes" and _is_bytes(field.type) for field in kind):
                return name
            raise ValueError(f"column {name!r} of {path} is {kind}, it must be a struct with bytes and path")
    raise ValueError(f"{path} has no column {' or '.join(map(repr, _IMAGE_COLUMNS))}, only {schema.names}")


def holds_images(path: Path) -> bool:
    """Whether a file can be read and has a column of images."""
    try:
        return bool(_image_column(path, _open(path).schema_arrow))
    except ValueError:
        return False


def _is_bytes(kind: pa.DataType) -> bool:
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind)


def _check_labels(path: Path, schema: pa.Schema, column: str) -> None:
    """Refuse a column that is missing or holds neither numbers nor text."""
    if column not in schema.names:
        raise ValueError(
            f"{path} has no column {column!r}, only {schema.names}; rename the one with the labels, or "
            "write label_column=ITS_NAME in the sheet of data sets"
        )
    kind = schema.field(column).type
    value = kind.value_type if pa.types.is_dictionary(kind) else kind
    if not any(allowed(value) for allowed in _LABEL_TYPES):
        raise ValueError(f"column {column!r} of {path} is {kind}; labels must be whole numbers or class names")


def _rows(path: Path, parquet: pq.ParquetFile, image: str, label: str) -> Iterator[tuple[dict | None, Label]]:
    try:
        for batch in parquet.iter_batches(_BATCH, columns=[image, label] if label else [image]):
            labels = batch.column(label).to_pylist() if label else [None] * len(batch)
            yield from zip(batch.column(image).to_pylist(), labels)
    except Exception as error:  # readers of damaged files raise nearly anything
        raise ValueError(f"{path} is damaged ({one_line(error)}); fetch it again") from error


def _sample(sample_id: str, origin: str, image: dict | None, label: Label, classes: list[str]) -> RawSample:
    content = (image or {}).get("bytes") or b""
    index, fault = _index_of(label, classes)
    fault = fault if content else "the row holds no image bytes"
    return RawSample(sample_id, content, None if fault else index, origin=origin, fault=fault)


def _index_of(label: Label, classes: list[str]) -> tuple[int | None, str]:
    """Class index and "", None for no label, or None and what is wrong with the label."""
    if isinstance(label, str):
        name = normal_form(label)
        return (classes.index(name), "") if name in classes else (None, f"label {label!r} is not in the class list")
    if label is None or math.isnan(label) or label < 0:
        return None, ""
    if label >= len(classes):
        return None, f"label {label} is not below the number of classes, {len(classes)}"
    return (int(label), "") if label == int(label) else (None, f"label {label} is not a whole number")
