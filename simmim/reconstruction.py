"""A model on held-out images: its loss there, and the reconstructions that figures are drawn from (Figures 4-6)."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image
from torch import Tensor

from simmim import model_file, plugin
from simmim.data.pretraining import hidden_tokens, whole_images
from simmim.data.shards import Shards
from simmim.files import whole_file
from simmim.geometry import Geometry
from simmim.masks.drawn import Drawn
from simmim.records import Origin
from simmim.tokenizer import load_tokenizer

if TYPE_CHECKING:
    from simmim.pretrain import Pretraining

HELD_OUT_IMAGES = 1024
SHOWN_IMAGES = 8
OWN_MASK = "own"  # the mask that the run was trained with
DRAWN_MASKS = {"most of the object": 0.75, "all of the object": 1.0}  # share of the object's cells that is hidden
_ORIGIN = "scale", "run", "config_hash", "data_digest", "code_version"
_SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("scale", "run")]
    + [(name, pa.int64()) for name in ("seed", "step")]
    + [(name, pa.string()) for name in ("config_hash", "data_digest", "code_version", "sample_id", "mask")]
    + [(name, pa.binary()) for name in ("image", "hidden", "prediction")]
)


def mean_colour_prediction(images: Tensor, weight: Tensor) -> Tensor:
    """The mean visible colour of every image, [b, c, 1, 1]; the prediction any model has to beat.

    Args:
        images: [b, c, H, W].
        weight: [b, 1, H, W], 1 on hidden pixels.
    """
    visible = 1 - weight
    return (images * visible).sum((2, 3), keepdim=True) / visible.sum((2, 3), keepdim=True)


@torch.inference_mode()
def held_out_losses(task: Pretraining, shards: Shards, mask: Any, dtype: torch.dtype | None) -> dict[str, float]:
    """The run's own loss on held-out images, taken on the hidden cells of fixed masks whatever its loss area is.

    Returns:
        `heldout_loss`, in the target's units; where colours are a possible prediction, beside it
        `heldout_loss_mean_colour`, of predicting each image's visible mean colour.
    """
    model, geometry = task.eval().model, task.model.geometry
    samples = np.arange(min(len(shards), HELD_OUT_IMAGES))
    totals: dict[str, float] = {}
    for part in np.array_split(samples, max(1, len(samples) // 64)):
        images = task.normalise(
            whole_images(shards, part, geometry.image, task.normalise.channels).to(task.normalise.device)
        )
        hidden = hidden_tokens(mask, geometry, 0, 0, part).to(images.device)
        with torch.autocast(images.device.type, dtype, enabled=dtype is not None):
            guesses = {"heldout_loss": model.reconstruct(images, hidden)}
        if model.target.in_pixel_units:
            pixels = geometry.tokens_to_pixels(hidden)[:, None].float()  # [b, 1, H, W]
            guesses["heldout_loss_mean_colour"] = mean_colour_prediction(images, pixels)
        target, weight = model.target(images), model.hidden_cells(hidden).float()
        for name, guess in guesses.items():
            totals[name] = totals.get(name, 0.0) + model.loss(guess.float(), target, weight).item() * len(part)
    return {name: total / len(samples) for name, total in totals.items()}


def recover(
    config: Mapping[str, Any], seed: int, run: Path, val: Path, drawn: Mapping[str, str], tokenizer: Path | None = None
) -> None:
    """Write `reconstruction.parquet`: what a finished run makes of some held-out images, under three kinds of masks.

    Args:
        config: as `Sheets.pretraining` completes it.
        run: folder of the run's files.
        val: packed held-out images.
        drawn: outline of the object by sample, and for all others under "*" (Figure 4).
        tokenizer: file of the tokenizer that the target names, if it names one.

    Raises:
        ValueError: for files that belong to another config.
    """
    task, origin, step = load_run(config, seed, run, tokenizer)
    shards, geometry = Shards(val), task.model.geometry
    samples = np.unique(np.linspace(0, len(shards) - 1, SHOWN_IMAGES).astype(int))
    own = hidden_tokens(plugin.build("masks", config["mask"]), geometry, 0, 0, samples)
    masks = {OWN_MASK: own} | _drawn_masks(shards, samples, geometry, drawn)
    rows = [row for mask, hidden in masks.items() for row in _pictures(task, shards, samples, mask, hidden)]
    columns = {"step": step, "seed": seed} | {key: getattr(origin, key) for key in _ORIGIN}
    with whole_file(run / "reconstruction.parquet") as temporary:
        stored = pa.Table.from_pylist([columns | row for row in rows], schema=_SCHEMA)
        pq.write_table(stored, temporary, write_page_checksum=True)


def load_run(
    config: Mapping[str, Any], seed: int, run: Path, tokenizer: Path | None
) -> tuple[Pretraining, Origin, int]:
    """The trained model of a finished run, where it comes from, and its number of steps."""
    from simmim.pretrain import build_task

    task = build_task(config, load_tokenizer(tokenizer, config["tokenizer"]) if tokenizer else None)
    for kind, part in (("encoder", task.model.encoder), ("head", task.model.head)):
        header, state = model_file.read(run / f"{kind}.safetensors", kind)
        if header["config_hash"] != config["config_hash"]:
            raise ValueError(f"{run / kind}.safetensors was made with another config; pre-train {run.parent} again")
        model_file.load(run / f"{kind}.safetensors", kind, part, state)
    origin = Origin(**{field.name: header[field.name] for field in fields(Origin)})
    return task, origin, header["step"]


def _drawn_masks(
    shards: Shards, samples: np.ndarray, geometry: Geometry, drawn: Mapping[str, str]
) -> dict[str, Tensor]:
    """Most of an object and all of it hidden, bool [n, *tokens] each; nothing where an outline holds no cell or all."""
    masks = {}
    for words, share in DRAWN_MASKS.items():
        try:
            masks[words] = torch.cat([
                hidden_tokens(Drawn(drawn.get(shards.ids[i], drawn["*"]), share), geometry, 0, 0, samples[at : at + 1])
                for at, i in enumerate(samples)
            ])  # fmt: skip
        except ValueError as reason:
            print(f"no pictures with {words} hidden: {reason}", flush=True)
    return masks


@torch.inference_mode()
def _pictures(
    task: Pretraining, shards: Shards, samples: np.ndarray, mask: str, hidden: Tensor
) -> list[dict[str, Any]]:
    """Input, mask and prediction of some images as PNG bytes; none where the target cannot be turned into a picture."""
    geometry = task.eval().model.geometry
    pixels = whole_images(shards, samples, geometry.image, task.normalise.channels)  # uint8 [n, c, H, W]
    normalised = task.normalise(pixels)
    picture = task.model.target.to_pixels(task.model.reconstruct(normalised, hidden).float(), normalised)
    predictions = [] if picture is None else task.normalise.undo(picture)
    areas = geometry.tokens_to_pixels(hidden).byte() * 255  # [n, H, W]
    names = [shards.ids[i] for i in samples]
    return [
        {"sample_id": name, "mask": mask, "image": png(image), "hidden": png(area[None]), "prediction": png(guess)}
        for name, image, area, guess in zip(names, pixels, areas, predictions)
    ]


def png(pixels: Tensor) -> bytes:
    """uint8 [c, H, W] with one or three channels -> PNG bytes."""
    stream = io.BytesIO()
    array = pixels.permute(1, 2, 0).numpy()
    Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array).save(stream, "png")
    return stream.getvalue()
