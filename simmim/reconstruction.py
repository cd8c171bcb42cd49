"""A model on held-out images: its loss there, and the reconstructions that figures are drawn from (Figures 4-6)."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image
from torch import Tensor

from simmim.data.pretraining import hidden_tokens, whole_images
from simmim.data.shards import Shards
from simmim.files import whole_file
from simmim.records import Origin

if TYPE_CHECKING:
    from simmim.pretrain import Pretraining

HELD_OUT_IMAGES = 1024
_SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("scale", "run")]
    + [(name, pa.int64()) for name in ("seed", "step")]
    + [(name, pa.string()) for name in ("config_hash", "data_digest", "code_version", "sample_id")]
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


@torch.inference_mode()
def write_reconstructions(
    path: Path, task: Pretraining, shards: Shards, mask: Any, origin: Origin, step: int, images: int
) -> None:
    """Write input, mask and prediction of `images` evenly spread held-out images as PNG bytes, one row each.

    There are no rows where the target cannot be turned into a picture.
    """
    geometry = task.eval().model.geometry
    samples = np.unique(np.linspace(0, len(shards) - 1, images).astype(int))
    pixels = whole_images(shards, samples, geometry.image, task.normalise.channels)  # uint8 [n, c, H, W]
    hidden = hidden_tokens(mask, geometry, 0, 0, samples)
    device = task.normalise.device
    normalised = task.normalise(pixels.to(device))
    raw = task.model.reconstruct(normalised, hidden.to(device)).float()
    picture = task.model.target.to_pixels(raw, normalised)
    predictions = [] if picture is None else task.normalise.undo(picture).cpu()
    areas = geometry.tokens_to_pixels(hidden).byte() * 255  # [n, H, W]
    columns = {
        "scale": origin.scale, "run": origin.run, "seed": origin.seed, "step": step,
        "config_hash": origin.config_hash, "data_digest": origin.data_digest, "code_version": origin.code_version,
    }  # fmt: skip
    rows = [
        columns | {"sample_id": name, "image": png(image), "hidden": png(area[None]), "prediction": png(guess)}
        for name, image, area, guess in zip([shards.ids[i] for i in samples], pixels, areas, predictions)
    ]  # fmt: skip
    with whole_file(path) as temporary:
        pq.write_table(pa.Table.from_pylist(rows, schema=_SCHEMA), temporary, write_page_checksum=True)


def png(pixels: Tensor) -> bytes:
    """uint8 [c, H, W] with one or three channels -> PNG bytes."""
    stream = io.BytesIO()
    array = pixels.permute(1, 2, 0).numpy()
    Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array).save(stream, "png")
    return stream.getvalue()
