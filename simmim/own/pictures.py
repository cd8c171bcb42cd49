"""`simmim reconstruct` on own pictures: what a finished run makes of them, as one PNG."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from simmim.data.found import images_at
from simmim.data.samples import RawSample, Source
from simmim.own.project import SCALE, Project
from simmim.own.result import Result, finished, say
from simmim.storage.reading import existing, refuse_folder

_SHOWN = 16


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
    if out.exists() and not overwrite:
        raise ValueError(f"{out} exists; --overwrite replaces it")
    from simmim.data.packing import pack
    from simmim.data.shards import Shards
    from simmim.pretraining.gallery import write_reconstructions

    found, project = images_at(data), _run_folder(encoder)
    job = project.jobs.job("pretrain", scale=SCALE, run=project.note["run"], seed=project.note["request"]["seed"])
    tokenizer = next(map(Path, job.inputs["tokenizer"]), None)
    source = _First(found.source(found.train), images)
    with tempfile.TemporaryDirectory(prefix="simmim-") as folder:
        kept = job.config.data["val"].pack
        how = {"codec": "png", "short_side_px": None, "bands": kept.bands, "bits": kept.bits}
        pack(source, folder, shard_samples=images, max_quarantined_share=0.99, **how)
        shards = Shards(folder)
        write_reconstructions(job.config, job.output("encoder").parent, shards, out, tokenizer)
    say("left", f"{out}: {len(shards)} pictures")
    return Result(out.parent, {"images": len(shards)}, {"pictures": out})


@dataclass(frozen=True)
class _First:
    """The first images of a source."""

    source: Source
    images: int

    def samples(self) -> Iterator[RawSample]:
        return islice(self.source.samples(), self.images)

    def classes(self) -> list[str]:
        return []

    def fingerprint(self) -> str:
        return self.source.fingerprint()


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
