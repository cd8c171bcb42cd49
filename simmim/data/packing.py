"""Packs a source: decodes every image once, quarantines broken ones, writes the shards and last the index."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import PIL
import pyarrow as pa

from simmim import stopping
from simmim.data.decode import CODECS
from simmim.data.index import FORMAT, INDEX, index_sha256
from simmim.data.journal import Finished, Journal
from simmim.data.layout import QUARANTINE, QUARANTINE_SCHEMA, SAMPLES, SAMPLES_SCHEMA, set_digest
from simmim.data.outcomes import Numbered, Outcome, numbered, outcomes_of, told
from simmim.data.samples import Source, some_of
from simmim.data.shard_files import Filling, read_back, samples_if_whole, write_shard
from simmim.data.workers import Workers, workers
from simmim.plugin import check_choice
from simmim.storage.files import sha256_file, write_text
from simmim.storage.parquet import write_parquet

_CHUNK = 8  # samples that a process is given at a time
_SAVED = "finished shards stay"
_SETTINGS = "codec", "short_side_px", "shard_samples"
_PART = "part", "held_out"


def pack(
    source: Source,
    out: Path | str,
    *,
    codec: str,
    shard_samples: int,
    short_side_px: int | None,
    max_quarantined_share: float = 0.05,
    part: str = "all",
    held_out: float = 0.0,
    processes: int = 1,
    done: Callable[[], None] = lambda: None,
) -> None:
    """Write a source as a packed data set into the folder `out`, replacing an earlier one.

    Shards that an earlier call has finished, of the same source with the same settings, are kept. Classes without
    images and images without labels are printed.

    Args:
        codec: "original" keeps sound JPEGs and PNGs byte for byte, "jpeg" has quality 95, "png" loses nothing.
        shard_samples: samples per shard.
        short_side_px: reduce the shorter side of larger images to this, None to leave the pixels alone.
        max_quarantined_share: more broken images than this share of all is an error.
        part, held_out: "train" or "held_out" of a source that is parted by this share (`simmim.data.held_out`).
        processes: that read and decode; the files are the same for any number.
        done: is called after every image.

    Raises:
        ValueError: for unusable settings, an id that comes twice, an annotated sample that would be resized, and too
            many broken ones (their table is written); for a full disk and a process that was killed.
        stopping.Stopped: when it was asked to.
    """
    _check_settings(codec, shard_samples, short_side_px, max_quarantined_share)
    out = Path(out)
    index: dict = {"format": FORMAT, "classes": source.classes(), "codec": codec, "short_side_px": short_side_px}
    index |= {"part": part, "held_out": held_out} if part != "all" else {}
    index["source_sha256"] = source.fingerprint()  # before it is read, so that a change meanwhile counts
    described = {"name": type(source).__name__} | _settings(source)
    with _said_in_words(out), workers(processes, _SAVED) as team:
        journal = Journal(out, _made_from(index, described, shard_samples))
        samples, incidents = _finish_shards(source, out, journal, team, done)
        write_parquet(out / QUARANTINE, pa.Table.from_pylist(incidents, schema=QUARANTINE_SCHEMA))
        _check_enough(len(samples), incidents, max_quarantined_share, out)
        write_parquet(out / SAMPLES, samples)
        index |= {"shards": [shard.index_entry for shard in journal.entries()]}
        index |= _counts(samples, incidents, index["classes"]) | {"source": described}
        index |= {"samples_sha256": sha256_file(out / SAMPLES), "quarantine_sha256": sha256_file(out / QUARANTINE)}
        index["index_sha256"] = index_sha256(index)
        write_text(out / INDEX, json.dumps(index, indent=1, ensure_ascii=False) + "\n")
    _say_unlabelled(out, index["classes"], samples)


@contextmanager
def _said_in_words(out: Path) -> Iterator[None]:
    """A full disk, a folder that cannot be written and the like as one sentence."""
    try:
        yield
    except OSError as error:
        what = os.strerror(error.errno) if error.errno else str(error)  # pyarrow has words of its own around it
        raise ValueError(
            f"{error.filename or out}: {what}; {_SAVED}, so mend that and run the same command again"
        ) from error


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


def _made_from(index: dict[str, Any], source: dict[str, Any], shard_samples: int) -> dict[str, Any]:
    """All that the bytes of a shard depend on, by what it is called in a message."""
    return {
        "files of the source": index["source_sha256"],
        "settings of the source": source,
        "classes": index["classes"],
        "codec": index["codec"],
        "short_side_px": index["short_side_px"],
        "shard_samples": shard_samples,
        **{name: index[name] for name in _PART if name in index},
        "format": FORMAT,
        "version of Pillow": PIL.__version__,
        "version of pyarrow": pa.__version__,
    }


def _finish_shards(
    source: Source, out: Path, journal: Journal, team: Workers, done: Callable[[], None]
) -> tuple[pa.Table, list[dict[str, str]]]:
    """Make the shards that are missing; returns the table of `SAMPLES_SCHEMA` and the incidents of all."""
    codec, short_side_px, shard_samples = (journal.made_from[name] for name in _SETTINGS)
    tables = _kept(out, journal, team)
    _clear(out, journal)
    work = functools.partial(outcomes_of, codec=codec, short_side_px=short_side_px)
    part, held_out = journal.made_from.get("part", "all"), journal.made_from.get("held_out", 0.0)
    chunks = _chunks(_to_do(numbered(source, short_side_px, part, held_out), journal))
    outcomes = told(itertools.chain.from_iterable(team.map(work, chunks)), done)
    last: list[dict[str, str]] = []
    written = _written(out, frozenset(tables), outcomes, shard_samples, last)
    for shard, table in team.map(functools.partial(read_back, out), written, at_once=2):
        tables[shard.number] = table
        journal.add(shard)
    incidents = [*itertools.chain.from_iterable(shard.incidents for shard in journal.entries()), *last]
    return pa.concat_tables([SAMPLES_SCHEMA.empty_table(), *(tables[number] for number in sorted(tables))]), incidents


def _kept(out: Path, journal: Journal, team: Workers) -> dict[int, pa.Table]:
    """The finished shards of an earlier call, by number their tables of `SAMPLES_SCHEMA`; each is read whole."""
    journal.read()
    shards = journal.entries()
    found = zip(shards, team.map(functools.partial(samples_if_whole, out), shards))
    tables = {shard.number: table for shard, table in found if table is not None}
    if damaged := [shard.file for shard in shards if shard.number not in tables]:
        print(f"{out}: {some_of(damaged)} missing or damaged, to be made again")
    if tables:
        print(f"{out}: {len(tables)} finished shard{'s'[: len(tables) > 1]} kept; to make all anew, delete the folder")
    journal.keep(tables)
    return tables


def _clear(out: Path, journal: Journal) -> None:
    """Remove all but the finished shards, the index first: none ever stands beside shards that it does not describe."""
    (out / INDEX).unlink(missing_ok=True)
    kept = {shard.file for shard in journal.entries()}
    for pattern in ("shard-*.parquet", SAMPLES, QUARANTINE, ".*.part"):
        for path in out.glob(pattern):
            if path.name not in kept:
                path.unlink()


def _to_do(samples: Iterator[Numbered], journal: Journal) -> Iterator[Numbered]:
    """The samples that no finished shard holds."""
    finished = journal.entries()
    for place, sample in samples:
        while finished and finished[0].end <= place:
            finished.pop(0)
        if finished and finished[0].begin <= place:
            stopping.check(_SAVED)
        else:
            yield place, sample


def _chunks(samples: Iterator[Numbered]) -> Iterator[list[Numbered]]:
    while chunk := list(itertools.islice(samples, _CHUNK)):
        yield chunk


def _written(
    out: Path, kept: frozenset[int], outcomes: Iterator[Outcome], shard_samples: int, last: list[dict[str, str]]
) -> Iterator[Finished]:
    """Write the shards that are missing; incidents behind the last shard are added to `last`."""
    for number in itertools.count():
        if number in kept:
            continue
        filling = Filling(outcomes, shard_samples)
        if not filling.rows:
            last += filling.incidents
            return
        yield write_shard(out, number, filling)


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
