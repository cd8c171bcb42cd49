"""Files, columns and digests of a packed data set, shared by packing and reading (the index: `simmim.data.index`)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable

import pyarrow as pa

LABEL_MAP = b"\x89PNG"  # how an annotation begins that is one, not a list of objects
SAMPLES, QUARANTINE = "samples.parquet", "quarantine.parquet"
SHARD_SCHEMA = pa.schema(
    [
        ("sample_id", pa.string()),
        ("image", pa.binary()),
        ("sha256", pa.string()),
        ("label", pa.int64()),
        ("height", pa.int32()),
        ("width", pa.int32()),
        ("annotation", pa.binary()),
    ]
)
PLACES = "image_offset", "image_bytes", "annotation_offset", "annotation_bytes"  # offset -1: no annotation
SAMPLES_SCHEMA = pa.schema(
    [field for field in SHARD_SCHEMA if field.name not in ("image", "annotation")]
    + [pa.field("shard", pa.int32()), pa.field("row", pa.int32())]
    + [pa.field(name, pa.int64()) for name in PLACES]
    + [pa.field("annotation_sha256", pa.string())]  # so that an annotation is verified without reading its image
)
QUARANTINE_SCHEMA = pa.schema([(name, pa.string()) for name in ("sample_id", "action", "reason", "source")])


def content_digest(image: bytes, annotation: bytes | None) -> bytes:
    """SHA-256 of the stored image bytes followed by the annotation bytes."""
    digest = hashlib.sha256(image)
    digest.update(annotation or b"")
    return digest.digest()


def content_sha256(image: bytes, annotation: bytes | None) -> str:
    """The same in hex."""
    return content_digest(image, annotation).hex()


def set_digest(classes: list[str], sha256s: Iterable[str], labels: Iterable[int]) -> str:
    """Hex SHA-256 over class names, samples and labels (-1 where there is none) in their order."""
    digest = hashlib.sha256(json.dumps(classes).encode())
    for sha256, label in zip(sha256s, labels, strict=True):
        digest.update(f"\n{sha256} {label}".encode())
    return digest.hexdigest()
