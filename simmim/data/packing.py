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
from simmim.data.bands import Bands, moments_of, with_statistics
from simmim.data.counts import check_enough, counts, say_missing, say_unmapped, values_of_maps
from simmim.data.decode import CODECS
from simmim.data.index import FORMAT, INDEX, index_sha256
from simmim.data.journal import Finished, Journal
from simmim.data.layout import QUARANTINE, QUARANTINE_SCHEMA, SAMPLES, SAMPLES_SCHEMA
from simmim.data.outcomes import Numbered, Outcome, agreeing, numbered, outcomes_of, told
from simmim.data.samples import Source
from simmim.data.shard_files import Filling, read_back, samples_if_whole, write_shard
from simmim.data.workers import Workers, workers
from simmim.plugin import check_choice
from simmim.storage.files import sha256_file, write_text
from simmim.storage.parquet import write_parquet
from simmim.storage.reading import some_of

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
    bands: int | None = None,
    bits: int | None = None,
    part: str = "all",
    held_out: float = 0.0,
    processes: int = 1,
    done: Callable[[], None] = lambda: None,
) -> None:
    """Write a source as a packed data set into the folder `out`, replacing an earlier one.

    Shards that an earlier call has finished, of the same source and settings, are kept. What is left out, classes
    without images or pixels and images without labels are printed.

    Args:
        codec, shard_samples: one of `CODECS`, and samples per shard.
        short_side_px: reduce the shorter side of larger images to this, None to leave the pixels alone.
        max_quarantined_share: more broken images than this share of all is an error.
        bands, bits: keep images as arrays of so many bands of 8 or 16 bits; None for pictures, 8-bit RGB or grey.
        part, held_out: "train" or "held_out" of a source that is parted by this share (`simmim.data.held_out`).
        processes, done: that read and decode, the files are the same for any number; called after every image.

    Raises:
        ValueError: for unusable settings, a sample id that comes twice, annotated samples that would be resized, other
            bands, no usable sample, too many broken ones (listed nevertheless), a full disk, a process that was killed.
        stopping.Stopped: when it was asked to.
    """
    _check_settings(codec, shard_samples, short_side_px, max_quarantined_share)
    out, kept = Path(out), Bands(bands, bits) if bands and bits else None
    index = _begun(source, {"codec": codec, "short_side_px": short_side_px}, part, held_out)
    with _said_in_words(out), workers(processes, _SAVED) as team:
        journal = Journal(out, _made_from(index, shard_samples) | ({"bands": str(kept)} if kept else {}))
        samples, incidents = _finish_shards(source, out, journal, team, kept, done)
        write_parquet(out / QUARANTINE, pa.Table.from_pylist(incidents, schema=QUARANTINE_SCHEMA))
        check_enough(len(samples), incidents, max_quarantined_share, out)
        write_parquet(out / SAMPLES, samples)
        if kept:
            index["bands"] = _measured(kept, out, journal, team)
        index |= {"shards": [shard.index_entry for shard in journal.entries()]}
        index |= counts(samples, incidents, index["classes"])
        values = _values_of_maps(samples, out, journal, team)
        _write_index(out, index)
    say_missing(out, index["classes"], samples, incidents)
    say_unmapped(out, index["classes"], values)


def _begun(source: Source, settings: dict[str, Any], part: str, held_out: float) -> dict[str, Any]:
    """What the index says before anything is read, so that a change of the source meanwhile counts."""
    parted = {"part": part, "held_out": held_out} if part != "all" else {}
    described = {"name": type(source).__name__} | _settings(source)
    about = {"format": FORMAT, "classes": source.classes(), "source": described} | settings | parted
    return about | {"source_sha256": source.fingerprint()}


def _measured(bands: Bands, out: Path, journal: Journal, team: Workers) -> dict[str, Any]:
    """Bands with the statistics of all finished shards, as the index holds them."""
    moments = team.map(moments_of, [out / shard.file for shard in journal.entries()])
    return dataclasses.asdict(with_statistics(bands, moments))


def _values_of_maps(samples: pa.Table, out: Path, journal: Journal, team: Workers) -> list[set[int]]:
    """What stands in the label maps of every finished shard; nothing where no sample has an annotation."""
    if samples["annotation_sha256"].null_count == len(samples):
        return []
    return [*team.map(values_of_maps, [out / shard.file for shard in journal.entries()])]


def _write_index(out: Path, index: dict[str, Any]) -> None:
    """Write the index with the digests of all that it does not hold, and of itself."""
    index |= {"samples_sha256": sha256_file(out / SAMPLES), "quarantine_sha256": sha256_file(out / QUARANTINE)}
    index["index_sha256"] = index_sha256(index)
    write_text(out / INDEX, json.dumps(index, indent=1, ensure_ascii=False) + "\n")


@contextmanager
def _said_in_words(out: Path) -> Iterator[None]:
    """A full disk, a folder that cannot be written, short memory and the like as one sentence."""
    try:
        yield
    except MemoryError as error:
        again = "run the same command again, with more memory or fewer processes"
        raise ValueError(f"memory was short while {out} was packed; {_SAVED}, so {again}") from error
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
        raise ValueError(f"short_side_px={short_side_px} needs codec=jpeg, png or rgb8: 'original' keeps the bytes")
    if not 0 <= max_quarantined_share <= 1:
        raise ValueError(f"max_quarantined_share must lie between 0 and 1, not {max_quarantined_share}")


def _settings(source: Source) -> dict:
    """The settings a sheet can hold; a source made in code may have others."""
    fields = dataclasses.fields(source) if dataclasses.is_dataclass(source) else ()
    values = {field.name: getattr(source, field.name) for field in fields}
    return {name: value for name, value in values.items() if value is None or isinstance(value, str | int | float)}


def _made_from(index: dict[str, Any], shard_samples: int) -> dict[str, Any]:
    """All that the bytes of a shard depend on, by what it is called in a message."""
    return {
        "files of the source": index["source_sha256"],
        "settings of the source": index["source"],
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
    source: Source, out: Path, journal: Journal, team: Workers, bands: Bands | None, done: Callable[[], None]
) -> tuple[pa.Table, list[dict[str, str]]]:
    """Make the shards that are missing; returns the table of `SAMPLES_SCHEMA` and the incidents of all."""
    codec, short_side_px, shard_samples = (journal.made_from[name] for name in _SETTINGS)
    tables = _kept(out, journal, team)
    _clear(out, journal)
    work = functools.partial(outcomes_of, codec=codec, short_side_px=short_side_px, bands=bands)
    part, held_out = journal.made_from.get("part", "all"), journal.made_from.get("held_out", 0.0)
    chunks = _chunks(_to_do(numbered(source, short_side_px, part, held_out), journal))
    outcomes = told(agreeing(itertools.chain.from_iterable(team.map(work, chunks))), done)
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
