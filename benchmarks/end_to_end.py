"""Data and step in one process, from files to updated weights: images in a CPU second, beside the released code's way.

    python benchmarks/end_to_end.py data/imagenet/val [--images 300] [--turns 5]

Tiles of 64 px, as the demo's are, cut from a folder's JPEGs. The released way decodes PNG files with Pillow and makes
its step in float32, as it is shipped, or under autocast; ours reads the same tiles packed as raw pixels.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from loader import EPOCHS, ReleasedImages, packed_batches
from measure import Measured, Way, compare, jpegs, parser_of_images, table
from PIL import Image, ImageOps
from steps import SHAPES, Released, ours, update_of
from torch import nn
from torch.utils.data import DataLoader

from simmim.data.packing import pack
from simmim.data.sources.image_folder import ImageFolder
from simmim.geometry import Geometry
from simmim.machine import keep_freed_memory
from simmim.train.processes import autocast_dtype
from simmim.train.sharding import clip_gradients

SHAPE, TOKEN_PX, BATCH = "micro", 4, 128
GOALS = {"float32": 2.8, "bfloat16": 1.8}  # of a machine that has bfloat16
CPU = torch.device("cpu")


def tiles(files: list[Path], folder: Path, side: int) -> list[Path]:
    """The middle of each image as a PNG of so many pixels a side."""
    found = []
    for number, file in enumerate(files):
        found.append(folder / f"{number:05d}.png")
        with Image.open(file) as image:
            ImageOps.fit(image.convert("RGB"), (side, side)).save(found[-1])
    return found


def released(files: list[Path], dtype: torch.dtype | None) -> Way:
    """Epochs of the released loader, each batch of which updates the released model; the loader normalises."""
    _, side, patch, _, _ = SHAPES[SHAPE]
    module = Released(SHAPE)
    module.normalise = nn.Identity()
    update = update_of(module, CPU, dtype, None, nn.utils.clip_grad_norm_)
    images = ReleasedImages(files * EPOCHS, side, patch, TOKEN_PX)

    def several() -> int:
        batches = DataLoader(images, BATCH, shuffle=True)
        return sum(update({"images": pixels, "hidden": mask.bool()}) for pixels, mask in batches)

    return several


def mine(folder: Path, dtype: torch.dtype | None) -> Way:
    """As many epochs of ours over a packed set."""
    _, side, patch, stride, _ = SHAPES[SHAPE]
    update = update_of(ours(SHAPE), CPU, dtype, True, clip_gradients)
    batches = packed_batches(folder, Geometry((side, side), TOKEN_PX, patch, stride), BATCH, workers=0)

    def several() -> int:
        return sum(update(batch) for batch in batches())

    return several


def measured(folder: Path, images: int, turns: int) -> Iterator[Measured]:
    """Ours beside each released way."""
    with tempfile.TemporaryDirectory() as scratch:
        source, out = Path(scratch, "tiles"), Path(scratch, "packed")
        source.mkdir()
        files = tiles(jpegs(folder, images), source, SHAPES[SHAPE][1])
        pack(ImageFolder(str(source)), out, codec="rgb8", shard_samples=1000, short_side_px=None)
        dtype = autocast_dtype("auto", CPU)
        formats: dict[str, Any] = {"float32": None} | ({"bfloat16": dtype} if dtype is not None else {})
        our_way = mine(out, dtype)
        for name, number_format in formats.items():
            goals = {"ours": GOALS[name]} if dtype is not None else {}
            both = {f"released, {name}": released(files, number_format), "ours": our_way}
            yield from compare(f"data and step, {SHAPE}, batch {BATCH}", both, turns, goals)


def main() -> None:
    """Measure and print the table."""
    options = parser_of_images(__doc__, 300, 5).parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    print(table(list(measured(options.folder, options.images, options.turns))))


if __name__ == "__main__":
    main()
