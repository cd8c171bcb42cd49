"""What becomes of the samples of a source: rows of a shard, or incidents with their reason."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simmim.data import held_out as parts
from simmim.data.array_files import NEEDS, BadImage, OtherBands
from simmim.data.bands import Bands
from simmim.data.decode import Stored, as_bands, normalise
from simmim.data.layout import content_sha256
from simmim.data.samples import UNREADABLE, RawSample, Source, read_bytes

Numbered = tuple[int, RawSample]
_MIXED = "refused"  # the action of an image that ends the packing of its set


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one sample.

    Args:
        place: of the sample in its source, from 0.
        row: of `SHARD_SCHEMA`, None for a sample that cannot be used.
        incident: of `QUARANTINE_SCHEMA`, None for a sound sample.
    """

    place: int
    row: dict[str, Any] | None
    incident: dict[str, str] | None


def numbered(source: Source, short_side_px: int | None, part: str, held_out: float) -> Iterator[Numbered]:
    """The samples of a part of a source with their places in it.

    Raises:
        ValueError: for an id that comes twice, and for an annotated sample that would be resized.
    """
    seen: set[str] = set()
    for place, sample in enumerate(source.samples()):
        if sample.id in seen:
            raise ValueError(f"sample id {sample.id!r} comes twice, the second time from {sample.origin}")
        seen.add(sample.id)
        if not parts.belongs(sample.id, part, held_out):
            continue
        if sample.annotation is not None and short_side_px is not None:
            raise ValueError(f"short_side_px={short_side_px} would resize {sample.id!r}, not its annotation")
        yield place, sample


def told(outcomes: Iterable[Outcome], done: Callable[[], None]) -> Iterator[Outcome]:
    """The same outcomes, `done` after each."""
    for outcome in outcomes:
        yield outcome
        done()


def outcomes_of(
    samples: Sequence[Numbered], *, codec: str, short_side_px: int | None, bands: Bands | None = None
) -> list[Outcome]:
    """Read, decode and encode some samples."""
    return [_outcome(place, sample.read(), codec, short_side_px, bands) for place, sample in samples]


def agreeing(outcomes: Iterable[Outcome]) -> Iterator[Outcome]:
    """The same, up to the first image with other bands than its set.

    Raises:
        ValueError: naming it.
    """
    for outcome in outcomes:
        if outcome.incident and outcome.incident["action"] == _MIXED:
            where = outcome.incident["source"] or outcome.incident["sample_id"]
            raise ValueError(f"{where} is {outcome.incident['reason']}: all images of a set must have the same bands")
        yield outcome


def may_be_mended(incident: Mapping[str, str]) -> bool:
    """Whether an image was left out for what no fingerprint of its source shows, and may be usable by now.

    Permissions, a file server and missing packages; a file that still cannot be read for the same reason is none.
    """
    reason = incident["reason"]
    if reason.startswith(UNREADABLE):
        return read_bytes(Path(incident["source"]))[1] != reason
    return UNREADABLE in reason or NEEDS in reason


def _outcome(place: int, sample: RawSample, codec: str, short_side_px: int | None, bands: Bands | None) -> Outcome:
    try:
        stored = _store(sample, codec, short_side_px, bands)
    except OtherBands as error:
        return Outcome(place, None, _incident(sample, _MIXED, str(error)))
    except BadImage as error:
        return Outcome(place, None, _incident(sample, "quarantined", str(error)))
    changes = "; ".join(filter(None, (stored.changes, sample.notes)))
    row = {
        "sample_id": sample.id,
        "image": stored.content,
        "sha256": content_sha256(stored.content, sample.annotation),
        "label": sample.label,
        "height": stored.image_px[0],
        "width": stored.image_px[1],
        "annotation": sample.annotation,
    }
    return Outcome(place, row, _incident(sample, "converted", changes) if changes else None)


def _store(sample: RawSample, codec: str, short_side_px: int | None, bands: Bands | None) -> Stored:
    if sample.fault:
        raise BadImage(sample.fault)
    if bands:
        stored = as_bands(sample.image, bands)
    else:
        annotated, name = sample.annotation is not None, sample.origin or sample.id
        stored = normalise(sample.image, name, codec=codec, short_side_px=short_side_px, annotated=annotated)
    if sample.image_px is not None and stored.image_px != tuple(sample.image_px):
        raise BadImage(f"image is {stored.image_px} px (height, width), its annotation was made for {sample.image_px}")
    return stored


def _incident(sample: RawSample, action: str, reason: str) -> dict[str, str]:
    return {"sample_id": sample.id, "action": action, "reason": reason, "source": sample.origin}
