"""Frozen features of every block, extracted once by all processes together (`stored_features` says into what).

An extraction that was stopped or killed goes on in the folder `.{name}.part`, which is renamed when it is whole.
"""

from __future__ import annotations

import functools
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from simmim import plugin, stopping
from simmim.config.errors import located_at
from simmim.config.evaluate_models import FeaturesConfig
from simmim.config.sections import sides
from simmim.data.classification import ScoringImages
from simmim.data.pretraining import hidden_tokens
from simmim.data.requirements import require_labels
from simmim.data.shards import Shards
from simmim.evaluate.fitting_parts import FittingParts, part_of
from simmim.evaluate.precision import autocast
from simmim.evaluate.stored_features import MANIFEST, identity_of_sets, note
from simmim.geometry import Geometry
from simmim.layers.normaliser import ImageNormaliser
from simmim.plugin import Component
from simmim.storage.encoder_file import load_encoder
from simmim.storage.files import make_folder, named, replace_folder, sha256_file
from simmim.storage.identity import code_version
from simmim.storage.sealed_json import write_sealed
from simmim.train.processes import Processes, autocast_dtype, my_share, stopping_together, wait_for_all
from simmim.train.reading import read_ahead, to_device

_DRAFT = "draft.json"  # what an unfinished extraction belongs to
_SAVE_EVERY = 10.0  # seconds


def write_features(
    config: FeaturesConfig, encoder_file: Path, data: Mapping[str, Path], out: Path, processes: Processes
) -> None:
    """Extract the features of packed sets under the evaluation transform into the folder `out`.

    Args:
        data: folders of the packed sets by split.

    Raises:
        ValueError: for images without a label, and for an encoder that does not fit.
        Stopped: when that was asked for, after saving.
    """
    sets = {split: Shards(data[split]) for split in config.data}
    for shards in sets.values():
        require_labels(shards)
    encoder, header = load_encoder(encoder_file, sides(config.image_px), **config.encoder)
    encoder = encoder.to(processes.device).eval()
    normalise = ImageNormaliser(header["mean"], header["std"]).to(processes.device)
    draft, about = out.with_name(f".{out.name}.part"), identity_of_sets(config, sets, encoder_file).as_json()
    about |= {"code_version": code_version(), "processes": processes.world}
    files = _files(encoder, normalise, sets, config, draft, about, processes)
    with stopping_together():
        for split, shards in sets.items():
            _extract(encoder, normalise, shards, split, config, files[split], processes)
    if processes.is_main_process:
        blocks = {split: [_entry(file) for file in arrays] for split, arrays in files.items()}
        write_sealed(draft / MANIFEST, about | {"blocks": blocks})
        for left in [*_notes(draft), draft / _DRAFT]:
            left.unlink()
        replace_folder(out, draft)


def _entry(file: Path) -> dict[str, Any]:
    """What the manifest says of an array."""
    return {"file": file.name, "shape": list(np.load(file, mmap_mode="r").shape), "sha256": sha256_file(file)}


@torch.inference_mode()
def _files(
    encoder: nn.Module,
    normalise: ImageNormaliser,
    sets: Mapping[str, Shards],
    config: FeaturesConfig,
    draft: Path,
    about: Mapping[str, Any],
    processes: Processes,
) -> dict[str, list[Path]]:
    """By split, arrays for every block in the draft: those of an interrupted extraction of the same, or empty ones."""
    image = torch.zeros(1, normalise.channels, *sides(config.image_px), dtype=torch.uint8, device=processes.device)
    widths = [features.shape[1] for features in encoder.block_features(normalise(image))]
    names = [f"block_{number:02}.npy" for number in range(1, len(widths) + 1)]
    files = {split: [draft / split / name for name in names] for split in sets}
    shapes = {file: (len(sets[split]), width) for split in sets for file, width in zip(files[split], widths)}
    is_begun = note(draft / _DRAFT) == about and all(_is_whole(file, shape) for file, shape in shapes.items())
    if processes.is_main_process and not is_begun:
        shutil.rmtree(draft, ignore_errors=True)
        for left in _notes(draft):  # one that stayed would have its process skip rows
            left.unlink()
        for split in sets:
            make_folder(draft / split)
        for file, shape in shapes.items():
            _reserve(file, shape)
        write_sealed(draft / _DRAFT, about)
    wait_for_all()
    return files


def _notes(draft: Path) -> Iterator[Path]:
    """What every process has written of how far it is, in every split."""
    return draft.glob("*/done_*.json")


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


@torch.inference_mode()
def _extract(
    encoder: nn.Module,
    normalise: ImageNormaliser,
    shards: Shards,
    split: str,
    config: FeaturesConfig,
    files: list[Path],
    processes: Processes,
) -> None:
    """This process's share of the rows of every array of a split, from where an earlier try had saved it."""
    dtype = autocast_dtype(config.precision, processes.device)
    maps = [np.load(file, mmap_mode="r+") for file in files]
    widths = [each.shape[1] for each in maps]
    data = ScoringImages(shards, config.image_px, config.score_crop, normalise.channels)
    mine, own = my_share(len(shards)), files[0].parent / f"done_{processes.rank}.json"
    done, saved, parts = note(own).get("rows", 0), time.monotonic(), FittingParts(config.score_batch)
    shares = [mine[first : first + config.score_batch] for first in range(done, len(mine), config.score_batch)]
    for samples, batch in zip(shares, read_ahead(data, shares, processes.device)):
        hidden = hidden_of(encoder, config, samples) if split == "train" else None
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
            stopping.check(f"{done} of {len(mine)} images of {split} are extracted")


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


def hidden_of(encoder: nn.Module, config: FeaturesConfig, samples: Sequence[int]) -> Tensor | None:
    """Hidden tokens [n, h, w] of some images, the same at every extraction; None where images are whole.

    Raises:
        ValueError: for masked patches that do not fit the encoder, or a ratio that hides all of them.
    """
    if config.mask_ratio is None:
        return None
    with located_at(f"settings.mask_ratio={config.mask_ratio} settings.masked_patch_px={config.masked_patch_px}"):
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
    with autocast(images.device, dtype):
        outputs = encoder.block_features(normalise(images), hidden)
    return torch.cat([each.float() for each in outputs], dim=1)
