"""`simmim reconstruct` on own pictures: what a finished run makes of them, as one PNG."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simmim.data.found import images_at
from simmim.data.samples import RawSample, Source, none_usable, say_refused
from simmim.own.project import SCALE, Project
from simmim.own.result import Result, finished, say
from simmim.storage.reading import existing, refuse_existing, refuse_folder

if TYPE_CHECKING:
    from simmim.data.bands import Bands

_SHOWN = 16
_STORED: dict[str, Any] = {"codec": "png", "short_side_px": None}


def reconstruct(
    *, data: Path, encoder: Path, out: Path = Path("pictures.png"), images: int = _SHOWN, overwrite: bool = False
) -> Result:
    """Draw what a finished run of `simmim pretrain` sees and predicts of some pictures.

    Args:
        data: a folder of pictures, or whatever `simmim pretrain` takes
        encoder: the run folder
        out: PNG file
        images: at most so many of them
        overwrite: replace --out if it exists.
    """
    if images < 1:
        raise ValueError(f"--images {images} must be at least 1")
    out = Path(out).expanduser()
    refuse_folder(out)
    refuse_existing(out, overwrite)
    from simmim.data.bands import Bands
    from simmim.data.packing import pack
    from simmim.data.shards import Shards
    from simmim.pretraining.gallery import write_reconstructions

    found, project = images_at(data), _run_folder(encoder)
    job = project.jobs.job("pretrain", scale=SCALE, run=project.note["run"], seed=project.note["request"]["seed"])
    tokenizer, kept = next(map(Path, job.inputs["tokenizer"]), None), job.config.data["val"].pack
    say("data", f"{found.root}: {found.words}" + (", shown are those to train on" if found.val else ""))
    bands = Bands(kept.bands, kept.bits) if kept.bands and kept.bits else None
    first, refused = _first(found.source(found.train), images, bands)
    if not first:
        raise ValueError(none_usable(data, refused))
    with tempfile.TemporaryDirectory(prefix="simmim-") as folder:
        pack(_First(first), folder, shard_samples=images, bands=kept.bands, bits=kept.bits, **_STORED)
        shards = Shards(folder)
        write_reconstructions(job.config, job.output("encoder").parent, shards, out, tokenizer)
    say("left", f"{out}: {len(shards)} pictures")
    say_refused(refused)
    return Result(out.parent, {"images": len(shards)}, {"pictures": out})


def _first(source: Source, images: int, bands: Bands | None) -> tuple[list[RawSample], dict[str, str]]:
    """The first images of a source that can be used, at most so many, and why those before them cannot."""
    from simmim.data.outcomes import outcomes_of

    sound: list[RawSample] = []
    refused: dict[str, str] = {}
    for sample in source.samples():
        [outcome] = outcomes_of([(0, sample)], bands=bands, **_STORED)
        if outcome.row:
            sound.append(sample)
        else:
            refused[sample.id] = outcome.incident["reason"]
        if len(sound) == images:
            break
    return sound, refused


@dataclass(frozen=True)
class _First:
    """Some images of a source."""

    images: list[RawSample]

    def samples(self) -> Iterator[RawSample]:
        return iter(self.images)

    def classes(self) -> list[str]:
        return []

    def fingerprint(self) -> str:
        return ""  # of a folder that is packed once


def _run_folder(path: Path | str) -> Project:
    """The finished run that a folder, or the encoder file at its top, belongs to.

    Raises:
        ValueError: for anything else: an encoder alone predicts nothing.
    """
    found = existing(path, "--encoder")
    folder = found if found.is_dir() else found.parent
    if finished(folder) is None or Project(folder).note["verb"] != "pretrain":
        raise ValueError(f"--encoder {path}: predictions need the head too; name the run folder of a `simmim pretrain`")
    return Project(folder)
