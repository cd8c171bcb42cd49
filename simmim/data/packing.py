"""Packs a source: decodes every image once, quarantines broken ones, writes the shards and last the index."""

from __future__ import annotations

import dataclasses
import itertools
import json
import mmap
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from simmim.data.decode import CODECS, BadImage, Stored, normalise
from simmim.data.index import FORMAT, INDEX, index_sha256
from simmim.data.layout import (
    QUARANTINE,
    QUARANTINE_SCHEMA,
    SAMPLES,
    SAMPLES_SCHEMA,
    SHARD_SCHEMA,
    content_sha256,
    set_digest,
)
from simmim.data.samples import RawSample, Source, some_of
from simmim.plugin import check_choice
from simmim.storage.files import sha256_bytes, sha256_file, whole_file, write_text
from simmim.storage.parquet import write_parquet

_ROW_GROUP = 64
_CONTENT = "image", "annotation"


def pack(
    source: Source,
    out: Path | str,
    *,
    codec: str,
    shard_samples: int,
    short_side_px: int | None,
    max_quarantined_share: float = 0.05,
) -> None:
    """Write a source as a packed data set into the folder `out`, replacing an earlier one.

    Args:
        codec: "original" keeps sound RGB and grey JPEGs and PNGs byte for byte, "jpeg" re-encodes at quality 95,
            "png" re-encodes without loss.
        shard_samples: samples per shard.
        short_side_px: reduce the shorter side of larger images to this, None to leave the pixels alone.
        max_quarantined_share: more broken images than this share of all is an error.

    Classes without images and images without labels are printed.

    Raises:
        ValueError: for unusable settings, a sample id that comes twice, an annotated sample that would be resized,
            no usable sample at all, or too many broken ones (their table is written nevertheless).
    """
    _check_settings(codec, shard_samples, short_side_px, max_quarantined_share)
    index: dict = {"format": FORMAT, "classes": source.classes(), "codec": codec, "short_side_px": short_side_px}
    index["source_sha256"] = source.fingerprint()  # before it is read, so that a change meanwhile counts
    out = Path(out)
    _clear(out)
    incidents: list[dict[str, str]] = []
    rows = _rows(source, incidents, codec, short_side_px)
    try:
        index["shards"], samples = _write_shards(rows, out, shard_samples)
    finally:
        write_parquet(out / QUARANTINE, pa.Table.from_pylist(incidents, schema=QUARANTINE_SCHEMA))
    _check_enough(len(samples), incidents, max_quarantined_share, out)
    write_parquet(out / SAMPLES, samples)
    index |= _counts(samples, incidents, index["classes"])
    index["source"] = {"name": type(source).__name__} | _settings(source)
    index |= {"samples_sha256": sha256_file(out / SAMPLES), "quarantine_sha256": sha256_file(out / QUARANTINE)}
    index["index_sha256"] = index_sha256(index)
    write_text(out / INDEX, json.dumps(index, indent=1, ensure_ascii=False) + "\n")
    _say_unlabelled(out, index["classes"], samples)


def _check_settings(codec: str, shard_samples: int, short_side_px: int | None, max_quarantined_share: float) -> None:
    check_choice("codec", codec, CODECS)
    if shard_samples < 1:
        raise ValueError(f"shard_samples must be at least 1, not {shard_samples}")
    if short_side_px is not None and short_side_px < 1:
        raise ValueError(f"short_side_px must be at least 1 or null, not {short_side_px}")
    if short_side_px is not None and codec == "original":
        raise ValueError(f"short_side_px={short_side_px} needs codec=jpeg or codec=png: 'original' keeps the bytes")
    if not 0 <= max_quarantined_share <= 1:
        raise ValueError(f"max_quarantined_share must lie between 0 and 1, not {max_quarantined_share}")


def _settings(source: Source) -> dict:
    """The settings a sheet can hold; a source made in code may have others."""
    fields = dataclasses.fields(source) if dataclasses.is_dataclass(source) else ()
    values = {field.name: getattr(source, field.name) for field in fields}
    return {name: value for name, value in values.items() if value is None or isinstance(value, str | int | float)}


def _clear(out: Path) -> None:
    """Remove an earlier data set, its index first, so that no index ever stands beside shards it does not describe."""
    (out / INDEX).unlink(missing_ok=True)
    for pattern in ("shard-*.parquet", SAMPLES, QUARANTINE, ".*.part"):
        for path in out.glob(pattern):
            path.unlink()


def _rows(source: Source, incidents: list, codec: str, short_side_px: int | None) -> Iterator[dict]:
    """Rows of `SHARD_SCHEMA` for every usable sample; unusable and corrected ones are added to `incidents`."""
    seen: set[str] = set()
    for sample in source.samples():
        if sample.id in seen:
            raise ValueError(f"sample id {sample.id!r} comes twice, the second time from {sample.origin}")
        seen.add(sample.id)
        if sample.annotation is not None and short_side_px is not None:
            raise ValueError(f"short_side_px={short_side_px} would resize {sample.id!r}, not its annotation")
        try:
            stored = _store(sample, codec, short_side_px)
        except BadImage as error:
            incidents.append(_incident(sample, "quarantined", str(error)))
            continue
        if changes := "; ".join(filter(None, (stored.changes, sample.notes))):
            incidents.append(_incident(sample, "converted", changes))
        yield {
            "sample_id": sample.id,
            "image": stored.content,
            "sha256": content_sha256(stored.content, sample.annotation),
            "label": sample.label,
            "height": stored.image_px[0],
            "width": stored.image_px[1],
            "annotation": sample.annotation,
            "annotation_sha256": None if sample.annotation is None else sha256_bytes(sample.annotation),
        }


def _store(sample: RawSample, codec: str, short_side_px: int | None) -> Stored:
    if sample.fault:
        raise BadImage(sample.fault)
    annotated = sample.annotation is not None
    name = sample.origin or sample.id
    stored = normalise(sample.image, name, codec=codec, short_side_px=short_side_px, annotated=annotated)
    if sample.image_px is not None and stored.image_px != tuple(sample.image_px):
        raise BadImage(f"image is {stored.image_px} px (height, width), its annotation was made for {sample.image_px}")
    return stored


def _incident(sample: RawSample, action: str, reason: str) -> dict[str, str]:
    return {"sample_id": sample.id, "action": action, "reason": reason, "source": sample.origin}


def _counts(samples: pa.Table, incidents: list[dict[str, str]], classes: list[str]) -> dict:
    """What the index says about the set as a whole."""
    labels = samples["label"].fill_null(-1).to_pylist()
    actions = [incident["action"] for incident in incidents]
    return {
        "digest": set_digest(classes, samples["sha256"].to_pylist(), labels),
        "samples": len(samples),
        "labelled": sum(label >= 0 for label in labels),
        "quarantined": actions.count("quarantined"),
        "converted": actions.count("converted"),
    }


def _say_unlabelled(out: Path, classes: list[str], samples: pa.Table) -> None:
    """Print the classes that no image has, and the number of images without a class."""
    if not classes or samples["annotation_sha256"].null_count < len(samples):
        return  # no classes, or those of objects and pixels
    labels = samples["label"].fill_null(-1).to_pylist()
    found = set(labels)
    empty = [name for label, name in enumerate(classes) if label not in found]
    if empty:
        print(f"{out}: no image of {len(empty)} of {len(classes)} classes: {some_of(empty)}")
    if labels.count(-1):
        print(f"{out}: {labels.count(-1)} of {len(labels)} images have no label")


def _check_enough(usable: int, incidents: list[dict[str, str]], max_share: float, out: Path) -> None:
    broken = [incident for incident in incidents if incident["action"] == "quarantined"]
    total = usable + len(broken)
    first = f"; the first is {broken[0]['sample_id']!r}: {broken[0]['reason']}" if broken else ""
    if total == 0:
        raise ValueError(f"the source of {out} holds no samples; check its path")
    if usable == 0 or len(broken) > max_share * total:
        raise ValueError(
            f"{len(broken)} of {total} samples are unusable, max_quarantined_share={max_share} allows "
            f"{int(max_share * total)}{first}. All are listed in {out / QUARANTINE}"
        )


def _write_shards(rows: Iterator[dict], out: Path, shard_samples: int) -> tuple[list[dict], pa.Table]:
    """Write all rows; returns the index entries of the shards and the table of `SAMPLES_SCHEMA`."""
    shards: list[dict] = []
    tables = [SAMPLES_SCHEMA.empty_table()]
    while group := _next_group(rows, shard_samples):
        path = out / f"shard-{len(shards):05d}.parquet"
        with whole_file(path) as temporary:
            samples = _write_shard(group, rows, temporary, shard_samples)
            _locate(samples, temporary)
        placed = [sample | {"shard": len(shards), "row": row} for row, sample in enumerate(samples)]
        tables.append(pa.Table.from_pylist(placed, schema=SAMPLES_SCHEMA))
        size = {"rows": len(samples), "bytes": path.stat().st_size}
        shards.append({"file": path.name, "sha256": sha256_file(path)} | size)
    return shards, pa.concat_tables(tables)


def _next_group(rows: Iterator[dict], room: int) -> list[dict]:
    return list(itertools.islice(rows, min(_ROW_GROUP, room)))


def _write_shard(group: list[dict], rows: Iterator[dict], path: Path, shard_samples: int) -> list[dict]:
    """Write a first group and as many more as the shard takes; returns the rows without their bytes."""
    samples: list[dict] = []
    options = {"compression": "none", "use_dictionary": False, "write_page_checksum": True, "write_statistics": False}
    with pq.ParquetWriter(path, SHARD_SCHEMA, **options) as writer:
        while group:
            writer.write_table(pa.Table.from_pylist(group, schema=SHARD_SCHEMA))
            samples += [{key: row[key] for key in row if key not in _CONTENT} for row in group]
            group = _next_group(rows, shard_samples - len(samples))
    return samples


def _locate(samples: list[dict], path: Path) -> None:
    """Add to every sample the place of its bytes in the shard, which is read back and checked."""
    shard = pq.ParquetFile(path, page_checksum_verification=True)
    remaining = iter(samples)
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as written:
        for group in range(shard.num_row_groups):
            read_back = shard.read_row_group(group, columns=["sha256", *_CONTENT]).to_pylist()
            starts = {name: _first_page(shard, group, name) for name in _CONTENT}
            for row, sample in zip(read_back, remaining):
                assert content_sha256(row["image"], row["annotation"]) == sample["sha256"] == row["sha256"]
                for name in _CONTENT:
                    sample |= _place(written, name, row[name], starts)


def _first_page(shard: pq.ParquetFile, group: int, column: str) -> int:
    return shard.metadata.row_group(group).column(SHARD_SCHEMA.get_field_index(column)).data_page_offset


def _place(written: mmap.mmap, name: str, content: bytes | None, starts: dict[str, int]) -> dict[str, int]:
    """Offset and length of one value; values lie in row order, some header bytes apart."""
    if content is None:
        return {f"{name}_offset": -1, f"{name}_bytes": 0}
    offset = written.find(content, starts[name])
    assert offset >= 0, "Parquet did not store this column plain"
    starts[name] = offset + len(content)
    return {f"{name}_offset": offset, f"{name}_bytes": len(content)}
