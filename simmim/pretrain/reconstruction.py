"""What a finished run makes of held-out images: the reconstructions that figures are drawn from (Figures 1, 4-6)."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image
from torch import Tensor

from simmim import plugin
from simmim.data.pretraining import hidden_tokens, whole_images
from simmim.data.shards import Shards
from simmim.geometry import Geometry
from simmim.masks.drawn import Drawn
from simmim.pretrain.run import Pretraining, load_run
from simmim.storage.files import whole_file

SHOWN_IMAGES = 8
OWN_MASK = "own"  # the mask that the run was trained with
DRAWN_MASKS = {"most of the object": 0.75, "all of the object": 1.0}  # share of the object's cells that is hidden
_ORIGIN = "scale", "run", "seed", "config_hash", "data_digest", "code_version"
_SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("scale", "run")]
    + [(name, pa.int64()) for name in ("seed", "step")]
    + [(name, pa.string()) for name in ("config_hash", "data_digest", "code_version", "sample_id", "mask")]
    + [(name, pa.binary()) for name in ("image", "hidden", "prediction")]
)


def recover(
    config: Mapping[str, Any], run: Path, val: Path, drawn: Mapping[str, str], tokenizer: Path | None = None
) -> None:
    """Write `reconstruction.parquet`: what a finished run makes of some held-out images, under three kinds of masks.

    Args:
        config: as `Sheets.pretraining` completes it.
        run: folder of the files of one seed.
        val: packed held-out images.
        drawn: outline of the object by sample, and for all others under "*" (Figure 4).
        tokenizer: file of the tokenizer that the target names, if it names one.

    Raises:
        ValueError: for files that belong to another config.
    """
    task, origin, step = load_run(config, run, tokenizer)
    shards, geometry = Shards(val), task.model.geometry
    samples = np.unique(np.linspace(0, len(shards) - 1, SHOWN_IMAGES).astype(int))
    own = hidden_tokens(plugin.build("masks", config["mask"]), geometry, 0, 0, samples)
    masks = {OWN_MASK: own} | _drawn_masks(shards, samples, geometry, drawn)
    rows = [row for mask, hidden in masks.items() for row in _pictures(task, shards, samples, mask, hidden)]
    columns = {"step": step} | {key: getattr(origin, key) for key in _ORIGIN}
    with whole_file(run / "reconstruction.parquet") as temporary:
        stored = pa.Table.from_pylist([columns | row for row in rows], schema=_SCHEMA)
        pq.write_table(stored, temporary, write_page_checksum=True)


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
