"""Batches for pre-training: what the loader gives in a CPU second, beside the released code's way with the same images.

    python benchmarks/loader.py data/imagenet/val [--images 400] [--workers 1] [--turns 5]

The released way: files in class folders, Pillow decodes and resizes, a float32 tensor is normalised, a mask of
numpy's, `DataLoader`. Ours reads packed sets: the files as they are, re-encoded to a short side of 256 px (whose
released counterpart are the same reduced images as files), and the same as raw pixels, cut here or left to the device.
Seconds are those of all processes. The limits: decoding alone, and copying bytes alone.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from measure import Measured, Way, compare, jpegs, linked, parser_of_images, table
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from simmim.config.sections import ImagesSection
from simmim.data.packing import pack
from simmim.data.pixels import open_image
from simmim.data.pretraining import PretrainingImages
from simmim.data.shards import Shards
from simmim.data.sources.image_folder import ImageFolder
from simmim.geometry import Geometry
from simmim.masks.random import Random
from simmim.train.reading import loader

IMAGE_PX, BATCH, EPOCHS = 192, 64, 4  # as many epochs a turn, so that the start of the workers hardly counts
CODECS = {"as they are": ("original", None), "JPEG 256 px": ("jpeg", 256), "raw pixels 256 px": ("rgb8", 256)}
GOALS = {"as they are": 1.6, "JPEG 256 px": 3.2, "raw pixels 256 px": 8.0, "raw pixels, crops on the device": 40.0}


class ReleasedImages(Dataset):
    """What the released data set does with a file (data/data_simmim.py of the released code)."""

    def __init__(self, files: list[Path], image_px: int = IMAGE_PX, patch_px: int = 32, token_px: int = 4) -> None:
        self._files = files
        self._side, self._scale = image_px // patch_px, patch_px // token_px
        self._transform = v2.Compose(
            [
                v2.RandomResizedCrop(image_px, scale=(0.67, 1.0), ratio=(3 / 4, 4 / 3), antialias=True),
                v2.RandomHorizontalFlip(),
                v2.ToImage(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
            ]
        )

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, np.ndarray]:
        with open(self._files[index], "rb") as file:
            image = self._transform(Image.open(file).convert("RGB"))
        side, scale = self._side, self._scale
        mask = np.zeros(side * side, dtype=int)
        mask[np.random.permutation(side * side)[: int(np.ceil(0.6 * side * side))]] = 1
        return image, mask.reshape(side, side).repeat(scale, axis=0).repeat(scale, axis=1)


def released(files: list[Path], workers: int) -> Way:
    """Some epochs of the released loader, whose workers stay."""

    def several() -> int:
        batches = DataLoader(ReleasedImages(files * EPOCHS), BATCH, shuffle=True, num_workers=workers)
        return sum(len(images) for images, _ in batches)

    return several


def packed_batches(
    folder: Path, geometry: Geometry, size: int, workers: int, crop_on: str = "host"
) -> Callable[[], DataLoader]:
    """As many epochs of our loader over a packed set, in a new order at every call."""
    images = PretrainingImages(Shards(folder), ImagesSection(crop_on=crop_on), Random(0.6), geometry, 0, 3)

    def several() -> DataLoader:
        keys = [(epoch, place) for epoch in range(EPOCHS) for place in range(len(images))]
        random.shuffle(keys)
        return loader(images, [keys[at : at + size] for at in range(0, len(keys), size)], workers, torch.device("cpu"))

    return several


def ours(folder: Path, workers: int, crop_on: str = "host") -> Way:
    """Read and let go."""
    batches = packed_batches(folder, Geometry((IMAGE_PX, IMAGE_PX), 4, 32, 32), BATCH, workers, crop_on)
    return lambda: sum(len(batch["hidden"]) for batch in batches())


def alone(folder: Path, work: Callable[[bytearray], object]) -> Way:
    """Something done with the stored bytes of every image and nothing else."""
    shards = Shards(folder)

    def epoch() -> int:
        for place in range(len(shards)):
            work(shards.image_bytes(place))
        return len(shards)

    return epoch


def measured(folder: Path, images: int, workers: int, turns: int) -> Iterator[Measured]:
    """Rows for each way to pack."""
    with linked(jpegs(folder, images)) as source, tempfile.TemporaryDirectory() as scratch:
        for codec, short_side_px in CODECS.values():
            out = Path(scratch) / codec
            pack(ImageFolder(str(source)), out, codec=codec, shard_samples=1000, short_side_px=short_side_px)
        ways = {"released, files as they are": released(sorted(source.iterdir()), workers)}
        ways |= {f"ours, {name}": ours(Path(scratch) / codec, workers) for name, (codec, _) in CODECS.items()}
        ways |= {"ours, raw pixels, crops on the device": ours(Path(scratch) / "rgb8", 0, "device")}
        ways |= {"limit: decoding as they are": alone(Path(scratch) / "original", open_image)}
        ways |= {"limit: decoding JPEG 256 px": alone(Path(scratch) / "jpeg", open_image)}
        ways |= {"limit: copying raw pixels": alone(Path(scratch) / "rgb8", len)}
        yield from compare("loader", ways, turns, {f"ours, {name}": goal for name, goal in GOALS.items()})


def main() -> None:
    """Measure and print the table."""
    parser = parser_of_images(__doc__, 400, 5)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(table(list(measured(options.folder, options.images, options.workers, options.turns))))


if __name__ == "__main__":
    main()
