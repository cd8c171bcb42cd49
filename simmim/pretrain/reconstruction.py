"""What a finished run makes of validation images: the reconstructions that figures are drawn from (Figures 1, 4-6)."""

from __future__ import annotations

from collections.abc import Mapping
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
from simmim.pretrain.masking import geometry_of, png, spread_samples
from simmim.pretrain.method import load_method
from simmim.storage.parquet import write_parquet

SHOWN_IMAGES = 8
OWN_MASK = "own"  # the mask that the run was trained with
DRAWN_MASKS = {"most of the object": 0.75, "all of the object": 1.0}  # share of the object's cells that is hidden
_SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("scale", "run")]
    + [(name, pa.int64()) for name in ("seed", "step")]
    + [(name, pa.string()) for name in ("config_hash", "data_digest", "code_version", "sample_id", "mask")]
    + [(name, pa.binary()) for name in ("image", "hidden", "prediction")]
)
_ORIGIN = "scale", "run", "seed", "step", "config_hash", "data_digest", "code_version"


def reconstruct(
    config: PretrainConfig, run: Path, val: Path, drawn: Mapping[str, str], tokenizer: Path | None = None
) -> None:
    """Write `reconstruction.parquet`: a finished run's reconstructions of some images under three kinds of masks.

    Args:
        run: folder of the files of one seed.
        val: packed validation images.
        drawn: outline of the object by sample, and for all others under "*" (Figure 4).
        tokenizer: file of the tokenizer that the target names, if it names one.

    Raises:
        ValueError: for a method that hides nothing, and for files that belong to another config.
    """
    if config.mask is None:
        raise ValueError(f"run '{config.run}' has no reconstructions: method={config.method.name} hides nothing")
    method, header = load_method(config, run, tokenizer)
    shards, geometry = Shards(val), geometry_of(config)
    samples = spread_samples(shards, SHOWN_IMAGES)
    images = whole_images(shards, samples, geometry.image, config.channels)  # uint8 [n, c, H, W]
    names = [shards.ids[sample] for sample in samples]
    own = hidden_tokens(plugin.build("masks", config.mask), geometry, 0, 0, samples)
    masks = {OWN_MASK: own} | _drawn_masks(names, samples, geometry, drawn)
    rows = [row for mask, hidden in masks.items() for row in _rows(method, geometry, images, names, mask, hidden)]
    columns = {key: header[key] for key in _ORIGIN}
    stored = pa.Table.from_pylist([columns | row for row in rows], schema=_SCHEMA)
    write_parquet(run / "reconstruction.parquet", stored)


def _drawn_masks(
    names: list[str], samples: np.ndarray, geometry: Geometry, drawn: Mapping[str, str]
) -> dict[str, Tensor]:
    """Most of an object and all of it hidden, bool [n, *tokens] each; nothing where an outline holds no cell or all."""
    masks = {}
    for words, share in DRAWN_MASKS.items():
        sections = [Component(name="drawn", shape=drawn.get(name, drawn["*"]), share=share) for name in names]
        try:
            hidden = [
                hidden_tokens(plugin.build("masks", section), geometry, 0, 0, samples[at : at + 1])
                for at, section in enumerate(sections)
            ]
        except ValueError as reason:
            print(f"no pictures with {words} hidden: {reason}", flush=True)
            continue
        masks[words] = torch.cat(hidden)
    return masks


@torch.inference_mode()
def _rows(
    method: Method, geometry: Geometry, images: Tensor, names: list[str], mask: str, hidden: Tensor
) -> list[dict[str, Any]]:
    """Input, mask and prediction of some images as PNG bytes; none where the method's target has no picture."""
    pictures = method.eval().reconstruct(images, hidden)
    if pictures is None:
        return []
    areas = geometry.tokens_to_pixels(hidden).byte()[:, None] * 255  # [n, 1, H, W]
    return [
        {"sample_id": name, "mask": mask, "image": png(image), "hidden": png(area), "prediction": png(picture)}
        for name, image, area, picture in zip(names, images, areas, pictures)
    ]
