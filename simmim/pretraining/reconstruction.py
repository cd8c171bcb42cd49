"""What a finished run makes of validation images: the reconstructions that figures are drawn from (Figures 1, 4-6)."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from simmim import plugin
from simmim.config.models import PretrainConfig
from simmim.data.pretraining import hidden_tokens, whole_images
from simmim.data.shards import Shards
from simmim.geometry import Geometry
from simmim.methods._method import Method
from simmim.plugin import Component
from simmim.pretraining.masking import geometry_of, spread_samples
from simmim.pretraining.method import load_method
from simmim.pretraining.pictures import Shown, png, shown
from simmim.storage.parquet import write_sealed
from simmim.storage.reading import some_of

SHOWN_IMAGES = 8
OWN_MASK = "own"  # the mask that the run was trained with
# Share of the cells of an object that is hidden. "Most" is "larger than 90 %" in the paper: 0.905, rounded up to whole
# cells, is that for any number of them, and leaves one visible of 11 or more.
DRAWN_MASKS = {"most": 0.905, "all": 1.0}
_NEAR = 1.5  # a drawn mask hides at most so many times the tokens that the outline touches
CENTRAL_BOX = "box 0.2 0.2 0.8 0.8"  # hidden where no object is outlined
_SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("scale", "run")]
    + [(name, pa.int64()) for name in ("seed", "step")]
    + [(name, pa.string()) for name in ("config_hash", "data_digest", "code_version", "sample_id", "region", "mask")]
    + [(name, pa.binary()) for name in ("image", "hidden", "prediction")]
)
_ORIGIN = "scale", "run", "seed", "step", "config_hash", "data_digest", "code_version"


def reconstruct(
    config: PretrainConfig, run: Path, val: Path, drawn: Mapping[str, str], tokenizer: Path | None = None
) -> None:
    """Write `reconstruction.parquet`: a finished run's reconstructions of some images under three kinds of masks.

    Its column `region` says what the drawn masks hide in an image: an outlined "object", or a "central box". Of images
    of n bands, the footer says which ones are shown and how (`shown`).

    Args:
        run: folder of the files of one seed.
        val: packed validation images.
        drawn: outline of the object by sample (Figure 4); outlined images are shown beside the others.
        tokenizer: file of the tokenizer that the target names, if it names one.

    Raises:
        ValueError: for a method that hides nothing, for files that belong to another config, and for an outline in an
            image that there is not.
    """
    if config.mask is None:
        raise ValueError(f"run '{config.run}' has no reconstructions: method={config.method.name} hides nothing")
    method, header = load_method(config, run, tokenizer)
    shards, geometry = Shards(val), geometry_of(config)
    samples = np.union1d(spread_samples(shards, SHOWN_IMAGES), _outlined(drawn, shards.ids, config))
    images = whole_images(shards, samples, geometry.image, config.channels)  # [n, c, H, W]
    look = shown(shards, config.data["val"].pack)
    names = [shards.ids[sample] for sample in samples]
    own = hidden_tokens(plugin.build("masks", config.mask), geometry, 0, 0, samples)
    rows = _rows(method, geometry, images, look, names, OWN_MASK, own)
    for mask, (which, hidden) in _drawn_masks(names, samples, geometry, drawn).items():
        rows += _rows(method, geometry, images[which], look, [names[i] for i in which], mask, hidden)
    regions = {name: "object" if name in drawn else "central box" for name in names}
    columns = {key: header[key] for key in _ORIGIN}
    stored = pa.Table.from_pylist(
        [columns | row | {"region": regions[row["sample_id"]]} for row in rows], schema=_SCHEMA
    )
    write_sealed(run / "reconstruction.parquet", stored.replace_schema_metadata(look.record or None))


def _outlined(drawn: Mapping[str, str], ids: list[str], config: PretrainConfig) -> np.ndarray:
    """Indices of the outlined images in the validation set."""
    for name in drawn:
        if name not in ids:
            near = difflib.get_close_matches(name, ids, n=1, cutoff=0)[0]
            known = f"data set '{config.data['val'].dataset}' at scale '{config.scale}'"
            raise ValueError(f"drawn_masks.tsv outlines '{name}', which {known} does not have; nearest: '{near}'")
    return np.array([ids.index(name) for name in drawn], dtype=int)


def _drawn_masks(
    names: list[str], samples: np.ndarray, geometry: Geometry, drawn: Mapping[str, str]
) -> dict[str, tuple[list[int], Tensor]]:
    """For each mask the images [k] that it fits, and what it hides of them, bool [k, *tokens]."""
    fitting, reasons = {}, {}
    for i, name in enumerate(names):
        try:
            fitting[i] = _hidden(drawn.get(name, CENTRAL_BOX), geometry, samples[i : i + 1])
        except ValueError as reason:
            reasons.setdefault(str(reason), []).append(f"'{name}'")
    for reason, without in reasons.items():
        print(f"no pictures of {some_of(without)} with most of it hidden: {reason}", flush=True)
    masks = zip(DRAWN_MASKS, zip(*fitting.values()))
    return {mask: ([*fitting], torch.cat(hidden)) for mask, hidden in masks}


def _hidden(outline: str, geometry: Geometry, sample: np.ndarray) -> list[Tensor]:
    """What each drawn mask hides, bool [1, *tokens], in the largest patches that are near enough to the outline.

    They are masked patches of the run or whole parts of them; such that leave nothing of the object visible in any mask
    but "all", or all of the image hidden, are too large.

    Raises:
        ValueError: for an outline that touches too few tokens, or all of them.
    """
    masks = [plugin.build("masks", Component(name="drawn", outline=outline, share=s)) for s in DRAWN_MASKS.values()]
    whole, token = geometry.masked_patch, geometry.token
    sizes = [replace(geometry, masked_patch=side) for side in range(token, whole + 1, token) if whole % side == 0]
    hidden = smallest = [hidden_tokens(mask, sizes[0], 0, 0, sample) for mask in masks]
    for size in sizes[1:]:
        try:
            larger = [hidden_tokens(mask, size, 0, 0, sample) for mask in masks]
        except ValueError:
            break
        if larger[-1].sum() > _NEAR * smallest[-1].sum():
            break
        hidden = larger
    return hidden


@torch.inference_mode()
def _rows(
    method: Method, geometry: Geometry, images: Tensor, look: Shown, names: list[str], mask: str, hidden: Tensor
) -> list[dict[str, Any]]:
    """Input, mask and prediction of some images as PNG bytes; none where the method's target has no picture."""
    pictures = method.eval().reconstruct(images, hidden)
    if pictures is None:
        return []
    areas = geometry.tokens_to_pixels(hidden).byte()[:, None] * 255  # [n, 1, H, W]
    columns = zip(names, map(look.png, images), map(png, areas), map(look.png, pictures))
    keys = "sample_id", "image", "hidden", "prediction"
    return [dict(zip(keys, values)) | {"mask": mask} for values in columns]
