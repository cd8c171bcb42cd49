"""What the masks of a scale's runs are like, measured before any of them is trained: AvgDist and samples."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from simmim import plugin
from simmim.config.models import PretrainConfig
from simmim.data.pretraining import hidden_tokens, whole_images
from simmim.data.shards import Shards
from simmim.geometry import Geometry
from simmim.plugin import Component
from simmim.pretraining.avg_dist import avg_dist
from simmim.pretraining.pictures import png, shown
from simmim.storage import records
from simmim.storage.identity import code_version
from simmim.storage.parquet import write_sealed

TOKEN_MASKS, PIXEL_MASKS = 2048, 256
SHOWN_IMAGES = 3
SHOWN_RATIO = 0.6
# Figure 2: words, mask and masked patch in the paper's pixels; None is one token, which a square of 60 % needs.
SHOWN_MASKS = (
    ("square", "square", None),
    ("block-wise, 16 px", "block", 16),
    ("random, 4 px", "random", 4),
    ("random, 8 px", "random", 8),
    ("random, 16 px", "random", 16),
    ("random, 32 px", "random", 32),
)


def geometry_of(config: PretrainConfig) -> Geometry:
    """Sizes of a run that has a mask, without the weights of its encoder."""
    image_px = config.geometry.image_px
    token, stride = _token_and_stride(config.encoder, image_px, config.channels)
    return Geometry(image_px, token, stride, config.geometry.masked_patch_px)


@functools.cache
def _token_and_stride(encoder: Component, image_px: tuple[int, int], channels: int) -> tuple[int, int]:
    with torch.device("meta"):
        built = plugin.build("encoders", encoder, image_px=image_px, in_channels=channels)
    return built.token, built.stride


def avg_dist_of(config: PretrainConfig) -> dict[str, float]:
    """AvgDist of a pre-training config at both granularities, 'tokens' and 'pixels', and its hidden 'share'.

    Raises:
        ValueError: for a mask that the grid does not allow, or that hides every cell of it.
    """
    return _measured(plugin.build("masks", config.mask), geometry_of(config))


@functools.cache
def _measured(mask: Any, geometry: Geometry) -> dict[str, float]:
    hidden = hidden_tokens(mask, geometry, 0, 0, np.arange(TOKEN_MASKS)).numpy()  # [n, h, w]
    pixels = geometry.tokens_to_pixels(hidden[:PIXEL_MASKS])  # [n, H, W]
    return {
        "tokens": avg_dist(hidden, geometry.token).mean(),
        "pixels": avg_dist(pixels).mean(),
        "share": hidden.mean(),
    }


def write_avg_dist(path: Path, configs: Iterable[PretrainConfig]) -> None:
    """Write AvgDist and hidden share of every run that has a mask; the same masks are measured once."""
    rows = []
    for config in (config for config in configs if config.mask):
        try:
            values = avg_dist_of(config)
        except ValueError as reason:
            print(f"{config.run}: {reason}")
            continue
        origin = records.Origin(config.scale, config.run, "pretrain", 0, config.hash, code_version())
        rows += [records.record(origin, 0, "avg_dist", values[part], part) for part in ("tokens", "pixels")]
        rows += [records.record(origin, 0, "hidden_share", values["share"])]
    records.write(path, rows, masks={"tokens": TOKEN_MASKS, "pixels": PIXEL_MASKS})


def write_mask_samples(path: Path, config: PretrainConfig, pixels: Mapping[int, int] | None, shards: Shards) -> None:
    """Write some images under each mask of Figure 2, as PNG bytes, one row per mask and image.

    Args:
        config: the run whose input and tokens are used.
        pixels: what the paper's pixels are at this scale, None: themselves. A mask without a counterpart has a row with
            an empty `hidden`.
        shards: validation images.
    """
    samples = spread_samples(shards, SHOWN_IMAGES)
    geometry = geometry_of(config)
    images = whole_images(shards, samples, geometry.image, config.channels)  # [n, c, H, W]
    look = shown(shards, config.data["val"].pack)
    origin = {"scale": config.scale, "run": config.run, "config_hash": config.hash}
    origin |= {"data_digest": shards.digest, "code_version": code_version()}
    rows = []
    for kind, name, paper_px in SHOWN_MASKS:
        patch_px = geometry.token if paper_px is None else (pixels or {paper_px: paper_px}).get(paper_px)
        fits = patch_px and _fits(patch_px, geometry)
        areas = _areas(name, geometry, patch_px, samples) if fits else [b""] * len(samples)
        mask = {"kind": kind, "mask": name, "ratio": SHOWN_RATIO, "masked_patch_px": patch_px}
        rows += [
            origin | mask | {"sample_id": shards.ids[sample], "image": look.png(image), "hidden": area}
            for sample, image, area in zip(samples, images, areas)
        ]
    write_sealed(path, pa.Table.from_pylist(rows).replace_schema_metadata(look.record or None))


def _fits(patch_px: int, geometry: Geometry) -> bool:
    """Whether patches of this side are whole tokens, and at least two by two make up the image."""
    return patch_px % geometry.token == 0 and all(side % patch_px == 0 and side > patch_px for side in geometry.image)


def _areas(mask: str, geometry: Geometry, patch_px: int, samples: np.ndarray) -> list[bytes]:
    """PNGs of the hidden pixels of each sample, 255 = hidden."""
    made = plugin.build("masks", Component(name=mask, ratio=SHOWN_RATIO))
    hidden = hidden_tokens(made, replace(geometry, masked_patch=patch_px), 0, 0, samples)  # [n, h, w]
    return [png(area[None]) for area in geometry.tokens_to_pixels(hidden).byte() * 255]


def spread_samples(shards: Shards, at_most: int) -> np.ndarray:
    """Indices of some images of a set, as far apart as there are images: those that pictures show."""
    return np.unique(np.linspace(0, len(shards) - 1, at_most).astype(int))
