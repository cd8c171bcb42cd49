"""Frozen features of every block, extracted once by all processes together into memory-mapped arrays.

block_01.npy ...   float32 [n, d]: the block's output for every image of the set, averaged over its tokens
manifest.json      config, digests of encoder, data and arrays; written last, so without it there is nothing
"""

from __future__ import annotations

import functools
import json
import shutil
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from simmim.config.differences import refuse_changed
from simmim.config.evaluate_models import FeaturesConfig
from simmim.data.classification import ScoringImages
from simmim.data.requirements import require_labels
from simmim.data.shards import Shards
from simmim.evaluate.feature_rows import Features
from simmim.evaluate.fitting_parts import FittingParts, part_of
from simmim.layers.normaliser import ImageNormaliser
from simmim.storage import model_file
from simmim.storage.encoder_file import load_encoder
from simmim.storage.files import sha256_file, write_text
from simmim.storage.identity import code_version
from simmim.train.processes import Processes, autocast_dtype, my_batches, wait_for_all
from simmim.train.reading import read_ahead, to_device

MANIFEST = "manifest.json"


def write_features(config: FeaturesConfig, encoder_file: Path, data: Path, out: Path, processes: Processes) -> None:
    """Extract the features of a packed set under the evaluation transform into the folder `out`.

    What an interrupted extraction left there is removed first.

    Args:
        data: folder of the packed set.

    Raises:
        ValueError: for images without a label, and for an encoder that does not fit.
    """
    shards = Shards(data)
    require_labels(shards)
    encoder, header = load_encoder(encoder_file, (config.image_px,) * 2, **config.encoder)
    encoder = encoder.to(processes.device).eval()
    normalise = ImageNormaliser(header["mean"], header["std"]).to(processes.device)
    files = _files(encoder, normalise, len(shards), config, out, processes)
    _extract(encoder, normalise, shards, config, files, processes.device)
    wait_for_all()
    if processes.is_main_process:
        manifest = {
            "config": config.as_json(),
            "encoder_sha256": model_file.digest(encoder_file),
            "data_digest": shards.digest,
        }
        manifest |= {"code_version": code_version(), "processes": processes.world}
        shapes = [list(np.load(file, mmap_mode="r").shape) for file in files]
        arrays = [{"file": f.name, "shape": shape, "sha256": sha256_file(f)} for f, shape in zip(files, shapes)]
        write_text(out / MANIFEST, json.dumps(manifest | {"blocks": arrays}, indent=1) + "\n")


@torch.inference_mode()
def _files(
    encoder: nn.Module,
    normalise: ImageNormaliser,
    samples: int,
    config: FeaturesConfig,
    out: Path,
    processes: Processes,
) -> list[Path]:
    """Empty arrays for every block, made by the main process."""
    side = config.image_px
    image = torch.zeros(1, normalise.channels, side, side, dtype=torch.uint8, device=processes.device)
    widths = [features.shape[1] for features in encoder.block_features(normalise(image))]
    files = [out / f"block_{number:02}.npy" for number in range(1, len(widths) + 1)]
    if processes.is_main_process:
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        for file, width in zip(files, widths):
            np.lib.format.open_memmap(file, "w+", np.float32, (samples, width)).flush()
    wait_for_all()
    return files


@torch.inference_mode()
def _extract(
    encoder: nn.Module,
    normalise: ImageNormaliser,
    shards: Shards,
    config: FeaturesConfig,
    files: list[Path],
    device: torch.device,
) -> None:
    """This process's share of the rows of every array."""
    dtype = autocast_dtype(config.precision, device)
    maps = [np.load(file, mmap_mode="r+") for file in files]
    widths = [each.shape[1] for each in maps]
    data = ScoringImages(shards, config.image_px, config.score_crop, normalise.channels)
    shares, parts = [*my_batches(len(shards), config.score_batch)], FittingParts(config.score_batch)
    for samples, batch in zip(shares, read_ahead(data, shares, device)):
        features_of = functools.partial(_features_of, encoder, normalise, batch["images"], dtype)
        for part, features in parts.results(range(len(samples)), features_of):
            chosen = part_of(samples, part)
            for rows, output in zip(maps, features.cpu().split(widths, dim=1)):  # one wait for all blocks
                rows[chosen.start : chosen.stop : chosen.step] = output.numpy()
    for rows in maps:
        rows.flush()


def _features_of(
    encoder: nn.Module, normalise: ImageNormaliser, images: Tensor, dtype: torch.dtype | None, rows: range
) -> Tensor:
    """Features of all blocks side by side, float32 [n, sum of their channels], of some rows of a batch."""
    images = to_device(part_of(images, rows), normalise.device)
    with torch.autocast(images.device.type, dtype, enabled=dtype is not None):
        outputs = encoder.block_features(normalise(images))
    return torch.cat([each.float() for each in outputs], dim=1)


def is_complete(folder: Path, config: FeaturesConfig) -> bool:
    """Whether finished features of this config lie in a folder."""
    manifest = folder / MANIFEST
    return manifest.is_file() and json.loads(manifest.read_text(encoding="utf-8"))["config"] == config.as_json()


def open_features(folder: Path, config: FeaturesConfig, encoder_file: Path, shards: Shards) -> Features:
    """The features in a folder; its arrays are verified and stay on disk.

    Args:
        config: what they must have been made with.
        shards: the set they are of.

    Raises:
        ValueError: when they are not complete, were made with another config, encoder or set, or are damaged.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise ValueError(f"{folder} holds no complete features: it has no {MANIFEST}; extract them (again)")
    manifest = json.loads(path.read_text(encoding="utf-8"))
    refuse_changed(path, manifest["config"], config.as_json(), remove=folder)
    made_from = {"encoder_sha256": model_file.digest(encoder_file), "data_digest": shards.digest}
    for what, now in made_from.items():
        if manifest[what] != now:
            raise ValueError(f"{path} has {what} {manifest[what]}, now it is {now}; remove {folder} and extract again")
    for array in manifest["blocks"]:
        if sha256_file(folder / array["file"]) != array["sha256"]:
            raise ValueError(f"{folder / array['file']} is damaged; remove {folder} and extract again")
    maps = [np.load(folder / array["file"], mmap_mode="r") for array in manifest["blocks"]]
    return Features(maps, torch.tensor(shards.labels), torch.arange(len(shards)))
