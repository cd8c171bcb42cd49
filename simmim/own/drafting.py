"""What the project of a pre-training on own images consists of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simmim.config.reading import parse_set
from simmim.config.sections import MEASURED, sides
from simmim.config.values import merged
from simmim.data.found import Found, images_at
from simmim.data.held_out import belongs, share_that_holds_out
from simmim.own.choices import Asked, Choice, choose
from simmim.own.models import recipe_of
from simmim.own.project import IMAGES, Draft, run_name

if TYPE_CHECKING:
    from simmim.data.bands import Bands

_FEWEST_HELD_OUT = 8
_FEWEST_IMAGES = 2
_PACKED_SHARE, _LEAST_PACKED_PX = 8 / 7, 128  # of the side of the input, as the paper's 224 of 256
FOUND_BROKEN = "pack.max_quarantined_share=0.5"  # a folder of photographs holds other things too


@dataclass(frozen=True)
class Split:
    """The two parts of the images at a path.

    Args:
        rows: of datasets.tsv.
        train, held_out: ids on both sides, as far as they are known before packing.
        words: how they were parted.
    """

    rows: list[dict[str, str]]
    train: int
    held_out: int
    words: str


@dataclass(frozen=True)
class Request:
    """What a user has asked for.

    Args:
        data: absolute path.
        set: what the row says, as `key=value`.
    """

    data: Path
    model: str
    asked: Asked
    seed: int
    set: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ValueError(f"--seed {self.seed} must be 0 or above")

    def as_json(self) -> dict[str, Any]:
        """JSON values, as they are kept in the run folder."""
        own = {"data": str(self.data), "model": self.model, "seed": self.seed, "set": list(self.set)}
        return own | self.asked.as_json()


@dataclass(frozen=True)
class Plan:
    """A draft with the reasons for it."""

    draft: Draft
    found: Found
    split: Split
    choice: Choice


def planned(request: Request, out: Path) -> Plan:
    """Look at the images and choose what was not asked for.

    Raises:
        ValueError: for a path, a model or a setting that there is not, and for too few images.
    """
    refuse_out_in_data(out, request.data)
    found, run = images_at(request.data), run_name(out)
    recipe = with_bands(recipe_of(request.model), found.bands)
    split = parted(found, 0.05)
    choice = choose(recipe, split.train, request.asked)
    packing = packed_for(max(sides(choice.recipe["geometry"]["image_px"])), found.bands)
    rows = {
        "pretrain": [{"run": run, "recipe": run, "set": " ".join(map(_cell, request.set)), "reference": "yes"}],
        "datasets": with_packing(split.rows, packing),
    }
    note = {"verb": "pretrain", "run": run, "request": request.as_json()} | about_images(found, split)
    draft = Draft(found.root, rows, {run: choice.recipe}, {"pretrain": IMAGES}, note)
    return Plan(draft, found, split, choice)


def parted(found: Found, share: float) -> Split:
    """The rows of both splits; where a path brings no validation split, a share of its images is held out.

    Raises:
        ValueError: for too few images.
    """
    ids = [sample.id for sample in found.source(found.train).samples()]
    if found.val:
        rows = [_row("train", found.train), _row("val", found.val)]
        held_out = sum(1 for _ in found.source(found.val).samples())
        return Split(rows, len(ids), held_out, "its own validation split")
    if len(ids) < _FEWEST_IMAGES:
        raise ValueError(f"--data {found.root} holds {len(ids)} images; at least {_FEWEST_IMAGES} are needed")
    share = share_that_holds_out(ids, share, _FEWEST_HELD_OUT)
    held_out = sum(belongs(each, "held_out", share) for each in ids)
    parts = {"train": "train", "val": "held_out"}
    rows = [_row(split, found.train, f"pack.part={part} pack.held_out={share}") for split, part in parts.items()]
    return Split(rows, len(ids) - held_out, held_out, "held out by a hash of their names")


def about_images(found: Found, split: Split) -> dict[str, Any]:
    """What the note of a project says about its images."""
    images, digest = split.train + split.held_out, found.source(found.train).fingerprint()
    return {"images": images, "held_out": split.held_out, "source_sha256": digest}


def packed_for(side_px: int, bands: Bands | None) -> str:
    """Packing settings of pictures for inputs of this side, or of images of n bands, which are kept as they are."""
    if bands:
        return f"pack.bands={bands.count} pack.bits={bands.bits} {FOUND_BROKEN}"
    side = max(_LEAST_PACKED_PX, round(side_px * _PACKED_SHARE))
    return f"pack.codec=jpeg pack.short_side_px={side} {FOUND_BROKEN}"


def with_bands(recipe: dict[str, Any], bands: Bands | None) -> dict[str, Any]:
    """The recipe for images of n bands, whose statistics are measured; as it is for pictures."""
    return merged(recipe, {"images": {"channels": bands.count, "mean": MEASURED}}) if bands else recipe


def with_packing(rows: Sequence[dict[str, str]], packing: str) -> list[dict[str, str]]:
    """Rows of datasets.tsv, packed so."""
    return [row | {"set": f"{row['set']} {packing}"} for row in rows]


def refuse_out_in_data(out: Path, data: Path) -> None:
    """Refuse a run folder among the images, which would be taken for some of them."""
    if data.is_dir() and out.absolute().resolve().is_relative_to(data.resolve()):
        raise ValueError(f"{out} lies inside --data {data}; name a folder beside it")


def _row(split: str, row: tuple[str, str], part: str = "") -> dict[str, str]:
    return {"dataset": IMAGES, "split": split, "source": row[0], "set": f"{row[1]} {part}".strip()}


def _cell(setting: str) -> str:
    """`key=value` as the cell of a sheet takes it.

    Raises:
        ValueError: for anything else.
    """
    if not parse_set(setting):
        raise ValueError(f"--set {setting!r} is not key=value")
    return setting
