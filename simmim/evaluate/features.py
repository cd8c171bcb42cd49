"""Frozen features of every block, extracted once by all processes together into memory-mapped arrays.

block_01.npy ...   float16 [n, d]: the block's output for every image of the set, averaged over all its tokens
manifest.json      what they belong to, digests of the arrays, and of itself

An extraction that was stopped or killed goes on in the folder `.{name}.part`, which is renamed when it is whole.
"""

from __future__ import annotations

import functools
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from simmim import plugin, stopping
from simmim.config.differences import refuse_changed
from simmim.config.evaluate_models import FeaturesConfig
from simmim.config.sections import sides
from simmim.data.classification import ScoringImages
from simmim.data.pretraining import hidden_tokens
from simmim.data.requirements import require_labels
from simmim.data.shards import Shards
from simmim.evaluate.feature_rows import Features
from simmim.evaluate.fitting_parts import FittingParts, part_of
from simmim.geometry import Geometry
from simmim.layers.normaliser import ImageNormaliser
from simmim.plugin import Component
from simmim.storage import model_file
from simmim.storage.encoder_file import load_encoder
from simmim.storage.files import make_folder, named, replace_folder, sha256_file
from simmim.storage.identity import Identity, code_version
from simmim.storage.sealed_json import read_sealed, write_sealed
from simmim.train.processes import Processes, autocast_dtype, my_share, wait_for_all
from simmim.train.reading import read_ahead, to_device

MANIFEST = "manifest.json"
_DRAFT = "draft.json"  # what an unfinished extraction belongs to
_SAVE_EVERY = 10.0  # seconds


def identity_of(config: FeaturesConfig, data_digest: str, encoder_file: Path) -> Identity:
    """What features belong to; the encoder's digest stands for its seed."""
    split = config.data.split
    return Identity(config.as_json(), None, {split: data_digest}, {"encoder": model_file.digest(encoder_file)})


def write_features(config: FeaturesConfig, encoder_file: Path, data: Path, out: Path, processes: Processes) -> None:
    """Extract the features of a packed set under the evaluation transform into the folder `out`.

    Args:
        data: folder of the packed set.

    Raises:
        ValueError: for images without a label, and for an encoder that does not fit.
        Stopped: when that was asked for, after saving.
    """
    shards = Shards(data)
    require_labels(shards)
    encoder, header = load_encoder(encoder_file, sides(config.image_px), **config.encoder)
    encoder = encoder.to(processes.device).eval()
    normalise = ImageNormaliser(header["mean"], header["std"]).to(processes.device)
    draft, about = out.with_name(f".{out.name}.part"), identity_of(config, shards.digest, encoder_file).as_json()
    about |= {"code_version": code_version(), "processes": processes.world}
    files = _files(encoder, normalise, len(shards), config, draft, about, processes)
    _extract(encoder, normalise, shards, config, files, processes)
    wait_for_all()
    if processes.is_main_process:
        shapes = [list(np.load(file, mmap_mode="r").shape) for file in files]
        arrays = [{"file": f.name, "shape": shape, "sha256": sha256_file(f)} for f, shape in zip(files, shapes)]
        write_sealed(draft / MANIFEST, about | {"blocks": arrays})
        for left in [*draft.glob("done_*.json"), draft / _DRAFT]:
            left.unlink()
        replace_folder(out, draft)


@torch.inference_mode()
def _files(
    encoder: nn.Module,
    normalise: ImageNormaliser,
    samples: int,
    config: FeaturesConfig,
    draft: Path,
    about: Mapping[str, Any],
    processes: Processes,
) -> list[Path]:
    """Arrays for every block in the draft: those of an interrupted extraction of the same, or empty ones."""
    image = torch.zeros(1, normalise.channels, *sides(config.image_px), dtype=torch.uint8, device=processes.device)
    widths = [features.shape[1] for features in encoder.block_features(normalise(image))]
    files = [draft / f"block_{number:02}.npy" for number in range(1, len(widths) + 1)]
    shapes = [(samples, width) for width in widths]
    if processes.is_main_process and not (_note(draft / _DRAFT) == about and all(map(_is_whole, files, shapes))):
        shutil.rmtree(draft, ignore_errors=True)
        make_folder(draft)
        for file, shape in zip(files, shapes):
            _reserve(file, shape)
        write_sealed(draft / _DRAFT, about)
    wait_for_all()
    return files


def _reserve(file: Path, shape: tuple[int, int]) -> None:
    """An array of zeros that has its place on the disk: a write to a map that found none would end the process."""
    with named(file):
        np.lib.format.open_memmap(file, "w+", np.float16, shape)
        with open(file, "r+b") as array:
            os.posix_fallocate(array.fileno(), 0, file.stat().st_size)
            os.fsync(array.fileno())


def _is_whole(file: Path, shape: tuple[int, int]) -> bool:
    """Whether an array of an earlier try has all its bytes."""
    try:
        return np.load(file, mmap_mode="r").shape == shape
    except (OSError, ValueError, EOFError):
        return False


def _note(path: Path) -> dict[str, Any]:
    """What an extraction has noted; nothing where the note is damaged or there is none."""
    try:
        return read_sealed(path)
    except (OSError, ValueError):
        return {}


@torch.inference_mode()
def _extract(
    encoder: nn.Module,
    normalise: ImageNormaliser,
    shards: Shards,
    config: FeaturesConfig,
    files: list[Path],
    processes: Processes,
) -> None:
    """This process's share of the rows of every array, from where an earlier try had saved it."""
    dtype = autocast_dtype(config.precision, processes.device)
    maps = [np.load(file, mmap_mode="r+") for file in files]
    widths = [each.shape[1] for each in maps]
    data = ScoringImages(shards, config.image_px, config.score_crop, normalise.channels)
    mine, own = my_share(len(shards)), files[0].parent / f"done_{processes.rank}.json"
    done, saved, parts = _note(own).get("rows", 0), time.monotonic(), FittingParts(config.score_batch)
    shares = [mine[first : first + config.score_batch] for first in range(done, len(mine), config.score_batch)]
    for samples, batch in zip(shares, read_ahead(data, shares, processes.device)):
        hidden = _hidden(encoder, config, samples)
        features_of = functools.partial(_features_of, encoder, normalise, batch["images"], hidden, dtype)
        for part, features in parts.results(range(len(samples)), features_of):
            chosen = part_of(samples, part)
            for rows, output in zip(maps, features.cpu().split(widths, dim=1)):  # one wait for all blocks
                rows[chosen.start : chosen.stop : chosen.step] = _halved(output).numpy()
        done += len(samples)
        if stopping.reason() or done == len(mine) or time.monotonic() - saved > _SAVE_EVERY:
            with named(own.parent):
                for rows in maps:
                    rows.flush()
            write_sealed(own, {"rows": done})
            saved = time.monotonic()
        if done < len(mine):
            stopping.check(f"{done} of {len(mine)} images are extracted")


def _halved(features: Tensor) -> Tensor:
    """In float16: half the bytes to store and to read, and three digits of an average over tokens.

    Raises:
        ValueError: for what float16 cannot hold.
    """
    halved = features.half()
    if not halved.isfinite().all():
        most = features.abs().max().item()
        raise ValueError(f"a feature of {most:g} is not a finite number below 65,504: frozen features cannot keep it")
    return halved


def _hidden(encoder: nn.Module, config: FeaturesConfig, samples: Sequence[int]) -> Tensor | None:
    """Hidden tokens [n, h, w] of some images, the same at every extraction; None where images are whole."""
    if config.mask_ratio is None:
        return None
    geometry = Geometry(sides(config.image_px), encoder.token, encoder.stride, config.masked_patch_px)
    mask = plugin.build("masks", Component(name="random", ratio=config.mask_ratio))
    return hidden_tokens(mask, geometry, 0, 0, np.asarray(samples))


def _features_of(
    encoder: nn.Module,
    normalise: ImageNormaliser,
    images: Tensor,
    hidden: Tensor | None,
    dtype: torch.dtype | None,
    rows: range,
) -> Tensor:
    """Features of all blocks side by side, float32 [n, sum of their channels], of some rows of a batch."""
    images = to_device(part_of(images, rows), normalise.device)
    hidden = None if hidden is None else to_device(part_of(hidden, rows), normalise.device)
    with torch.autocast(images.device.type, dtype, enabled=dtype is not None):
        outputs = encoder.block_features(normalise(images), hidden)
    return torch.cat([each.float() for each in outputs], dim=1)


def is_complete(folder: Path, identity: Identity) -> bool:
    """Whether finished features of this lie in a folder; others there are made again."""
    manifest, wanted = _note(folder / MANIFEST), identity.as_json()
    return {key: manifest.get(key) for key in wanted} == wanted


def open_features(folder: Path, config: FeaturesConfig, encoder_file: Path, shards: Shards) -> Features:
    """The features in a folder; its arrays stay on disk, and each process verifies its share of them.

    Args:
        config: what they must have been made with.
        shards: the set they are of.

    Raises:
        ValueError: when they are not complete, were made with another config, encoder or set, or are damaged.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise ValueError(f"{folder} holds no complete features: it has no {MANIFEST}; extract them (again)")
    manifest = read_sealed(path)
    refuse_changed(path, manifest, identity_of(config, shards.digest, encoder_file), remove=folder)
    for array in (manifest["blocks"][place] for place in my_share(len(manifest["blocks"]))):
        if sha256_file(folder / array["file"]) != array["sha256"]:
            raise ValueError(f"{folder / array['file']} is damaged; remove {folder} and extract again")
    maps = [np.load(folder / array["file"], mmap_mode="r") for array in manifest["blocks"]]
    return Features(maps, torch.tensor(shards.labels), torch.arange(len(shards)))
