"""`simmim.embed(...)`: what an encoder makes of every image of a folder, an archive or a list, as Parquet.

Shapes: b images, c channels, d channels of a block, h w cells.
"""

from __future__ import annotations

import functools
import itertools
import math
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor, nn

from simmim.config.sections import pixels
from simmim.data.array_files import OtherBands, array_bands
from simmim.data.bands import Bands
from simmim.data.crops import Crop, cut
from simmim.data.decode import BadImage, Stored, as_bands, normalise
from simmim.data.found import Found, images_at
from simmim.data.pixels import batch_of, open_image
from simmim.data.samples import RawSample, Source, none_usable
from simmim.data.workers import workers
from simmim.layers.normaliser import ImageNormaliser
from simmim.storage import model_file
from simmim.storage.encoder_file import load_encoder
from simmim.storage.files import whole_file
from simmim.storage.reading import encoder_at, existing, refuse_existing, refuse_folder
from simmim.train.device import chosen_device
from simmim.train.reading import spare_cores

_SAY_EVERY = 10.0  # seconds


@dataclass(frozen=True)
class Embedded:
    """What `embed` left.

    Args:
        file: Parquet with the columns `path` and `vector`, float32.
        images: rows.
        shape: of a vector: (d,), or (d, h, w) of a map that is stored flat.
        refused: images that could not be read, and why.
    """

    file: Path
    images: int
    shape: tuple[int, ...]
    refused: Mapping[str, str]


def embed(
    data: Path | str,
    encoder: Path | str,
    out: Path | str,
    *,
    block: int = 0,
    feature_map: bool = False,
    batch: int = 64,
    image_px: str | int | tuple[int, int] | None = None,
    overwrite: bool = False,
) -> Embedded:
    """Write a vector for every image: the largest centre crop of the encoder's proportions, on a GPU or the CPU.

    Args:
        data: a folder of any depth, a tar, a Parquet file of images, or a text file with a path on each line.
        encoder: a run folder, or its encoder.safetensors.
        block: 1 to its depth; 0 for its output, after the last norm.
        feature_map: the map [d, h, w] instead of its average.
        batch: images at a time.
        image_px: input, as 192, 96x160 or (96, 160); None for that which the encoder was made for.

    Raises:
        ValueError: for data or an encoder that cannot be read, a block that it has not, a file that exists, and where
            no image can be used.
    """
    encoder, out = encoder_at(encoder), Path(out).expanduser()
    refuse_folder(out)
    refuse_existing(out, overwrite)
    network, header = load_encoder(encoder, pixels(image_px))
    if not 0 <= block <= network.depth:
        raise ValueError(f"block {block} must be 1 to {network.depth}, the blocks of {encoder}, or 0 for its output")
    if batch < 1:
        raise ValueError(f"batch {batch} must be at least 1")
    device = chosen_device()
    normaliser = ImageNormaliser(header["mean"], header["std"]).to(device)
    features = functools.partial(_features, network.to(device).eval(), normaliser, block, feature_map)
    sizes = {"channels": header["in_channels"], "image_px": tuple(header["image_px"])}
    view = functools.partial(_view, bits=header.get("bits"), **sizes)
    refused: dict[str, str] = {}
    with workers(max(1, spare_cores()), "nothing is written") as pool, whole_file(out) as temporary:
        seen = _sound(pool.map(view, source_at(existing(data, "--data")).samples()), refused)
        about = {"encoder": model_file.digest(encoder), "block": str(block), "image_px": _by(header["image_px"])}
        images, shape = _write(temporary, seen, features, batch, about)
        if not images:
            raise ValueError(none_usable(data, refused))
    return Embedded(out, images, shape, refused)


def source_at(path: Path) -> Source:
    """The adapter for all images at a path, also of a folder that has a train/ and a val/; labels are not read.

    Raises:
        ValueError: for a file of another kind.
    """
    found = Found(path, ("image_folder", "root=$data"), None, "") if path.is_dir() else images_at(path)
    return found.source(found.train)


def _view(
    sample: RawSample, channels: int, bits: int | None, image_px: tuple[int, int]
) -> tuple[str, np.ndarray | str]:
    """Name and pixels [c, H, W] of an image, or why it cannot be used."""
    sample = sample.read()
    if sample.fault:
        return sample.id, sample.fault
    try:
        image = open_image(_stored(sample.image, sample.id, channels, bits).content, channels)
    except (BadImage, ValueError) as error:
        return sample.id, str(error)
    _, height, width = image.shape
    rows, columns = min(height, width * image_px[0] // image_px[1]), min(width, height * image_px[1] // image_px[0])
    crop = Crop((height - rows) // 2, (width - columns) // 2, max(1, rows), max(1, columns), flip=False)
    return sample.id, cut(image, crop, image_px, "bicubic").numpy()


def _stored(content: bytes, name: str, channels: int, bits: int | None) -> Stored:
    """An image as those were that the encoder has learnt from: with all its bands, or as a picture.

    Args:
        bits: of the bands; None of pictures, and of an older file of an encoder, which does not say.

    Raises:
        BadImage: for what is neither.
    """
    if bits:
        return as_bands(content, Bands(channels, bits))
    if channels not in (1, 3):  # which no picture has
        with suppress(OtherBands):
            return as_bands(content, Bands(channels, 8))
        return as_bands(content, Bands(channels, 16))
    try:
        return normalise(content, name, codec="original", short_side_px=None, annotated=False)
    except BadImage:
        if (bands := array_bands(content)) is None:
            raise
        return as_bands(content, bands)


def _sound(views: Iterator[tuple[str, Any]], refused: dict[str, str]) -> Iterator[tuple[str, np.ndarray]]:
    """The images that could be read; the others go to `refused`."""
    for name, view in views:
        if isinstance(view, str):
            refused[name] = view
        else:
            yield name, view


def _by(sides: Iterable[int]) -> str:
    """Such as "96 x 160"."""
    return " x ".join(map(str, sides))


def _features(
    network: nn.Module, normaliser: ImageNormaliser, block: int, feature_map: bool, pixels: list[np.ndarray]
) -> Tensor:
    """[b, d], or [b, d, h, w], on the CPU."""
    images = batch_of(map(torch.from_numpy, pixels)).to(normaliser.device)
    with torch.inference_mode():
        found = normaliser(images)
        x = next(itertools.islice(network.block_maps(found), block - 1, None)) if block else network(found)
        return (x if feature_map else x.mean(dim=(2, 3))).float().cpu()


def _write(
    file: Path, seen: Iterator[tuple[str, np.ndarray]], features: Any, batch: int, about: Mapping[str, str]
) -> tuple[int, tuple[int, ...]]:
    """Number of rows written, and the shape of a vector."""
    written, shape, said, writer = 0, (), time.monotonic(), None
    while chunk := list(itertools.islice(seen, batch)):
        vectors = features([pixels for _, pixels in chunk])
        shape = tuple(vectors.shape[1:])
        kind = pa.list_(pa.float32(), math.prod(shape))
        if writer is None:
            note = {**about, "shape": _by(shape)}
            schema = pa.schema([("path", pa.string()), ("vector", kind)], metadata=note)
            writer = pq.ParquetWriter(file, schema, write_page_checksum=True)
        column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.flatten().numpy()), math.prod(shape))
        writer.write_table(pa.table([pa.array([name for name, _ in chunk]), column], schema=writer.schema))
        written += len(chunk)
        if time.monotonic() - said > _SAY_EVERY:
            said = time.monotonic()
            print(f"{written} images", flush=True)
    if writer is not None:
        writer.close()
    return written, shape
