"""Frozen features and the vote of neighbours: images, and queries, in a CPU second beside other people's way.

    python benchmarks/frozen.py data/imagenet/val [--images 300] [--turns 3]

Features of a micro Swin, so that reading counts: one process that decodes and resizes an image after another with
Pillow and encodes batches in float32, as evaluation scripts do, beside `simmim features` on the packed files. The vote:
DINO's script (similarities of a hundredth of the queries at a time, votes as one-hot classes) beside ours, on the same
made-up features. The limit is the product of queries and bank alone.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from measure import Measured, Way, compare, jpegs, parser_of_images, table
from PIL import Image
from steps import MICRO
from torch import Tensor
from torchvision.transforms import v2

from simmim import plugin
from simmim.config.evaluate_models import FeaturesConfig
from simmim.config.models import DataConfig
from simmim.data.packing import pack
from simmim.data.sources.image_folder import ImageFolder
from simmim.evaluate.feature_rows import Features
from simmim.evaluate.features import write_features
from simmim.evaluate.knn.settings import KnnSettings
from simmim.evaluate.knn.vote import accuracy
from simmim.plugin import Component
from simmim.storage.encoder_file import load_encoder, save_encoder
from simmim.train.processes import Processes

IMAGE_PX, BATCH = 64, 64
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BANK, QUERIES, WIDTH, CLASSES = 20_000, 2_000, 512, 100
CPU = torch.device("cpu")


def released(files: list[Path], encoder_file: Path) -> Way:
    """A file after another, then a batch through the encoder."""
    steps = [v2.Resize(IMAGE_PX), v2.CenterCrop(IMAGE_PX), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]
    transform, encoder = v2.Compose([*steps, v2.Normalize(MEAN, STD)]), load_encoder(encoder_file)[0].eval()

    @torch.inference_mode()
    def run() -> int:
        for first in range(0, len(files), BATCH):
            batch = torch.stack([transform(Image.open(each).convert("RGB")) for each in files[first : first + BATCH]])
            encoder.block_features(batch)
        return len(files)

    return run


def ours(packed: Path, encoder_file: Path, images: int) -> Way:
    """The job of the workflow, whose folder is thrown away."""
    data = DataConfig(dataset="folder", split="val", source={"name": "image_folder", "root": ""}, numerics=1)
    about = {"scale": "", "evaluation": "probe", "pretraining": "", "numerics": {}, "encoder": {}}
    sizes = {"image_px": IMAGE_PX, "score_crop": 1.0, "score_batch": BATCH, "precision": "auto"}
    config = FeaturesConfig(data={"val": data}, **about, **sizes)

    def run() -> int:
        with tempfile.TemporaryDirectory() as scratch:
            write_features(config, encoder_file, {"val": packed}, Path(scratch, "out"), Processes(0, 1, CPU))
        return images

    return run


def features(folder: Path, images: int, turns: int) -> Iterator[Measured]:
    """Rows for the two ways."""
    files = jpegs(folder, images)
    with tempfile.TemporaryDirectory() as scratch:
        here, encoder_file = Path(scratch), Path(scratch, "encoder.safetensors")
        for number, file in enumerate(files):
            link = here / "source" / str(number % 2) / f"{number:05d}.jpg"
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(file.resolve())
        source = ImageFolder(str(here / "source"), class_folders=True)
        pack(source, here / "packed", codec="original", short_side_px=None, shard_samples=1000)
        section = Component(name="swin", **MICRO)
        encoder = plugin.build("encoders", section, image_px=(IMAGE_PX, IMAGE_PX), in_channels=3)
        about = {"encoder": section.model_dump(mode="json"), "image_px": [IMAGE_PX, IMAGE_PX], "in_channels": 3}
        save_encoder(encoder_file, encoder, about | {"mean": MEAN, "std": STD})
        ways = {
            "one file after another, float32": released(files, encoder_file),
            "ours": ours(here / "packed", encoder_file, len(files)),
        }
        yield from compare("features", ways, turns)


def dino_vote(bank: Tensor, labels: Tensor, queries: Tensor, k: int) -> Tensor:
    """Class of every query [m], as DINO's eval_knn.py finds it."""
    found = []
    for part in queries.chunk(100):
        cosine, nearest = (part @ bank.T).topk(k, dim=1)
        votes = torch.zeros(len(part) * k, CLASSES).scatter_(1, labels[nearest].view(-1, 1), 1)
        weights = (cosine / 0.07).exp()[..., None]
        found.append((votes.view(len(part), k, CLASSES) * weights).sum(1).argmax(1))
    return torch.cat(found)


def vote(turns: int, share: float = 1.0) -> Iterator[Measured]:
    """Rows for the vote on one block of made-up features."""
    random, sizes = np.random.default_rng(0), [round(share * size) for size in (BANK, QUERIES)]
    bank, queries = (
        Features([random.standard_normal((n, WIDTH)).astype(np.float16)], torch.arange(n) % CLASSES, torch.arange(n))
        for n in sizes
    )
    unit_bank, unit_queries = (torch.nn.functional.normalize(each.read(0), dim=1) for each in (bank, queries))
    settings = KnnSettings(image_px=IMAGE_PX)

    def theirs() -> int:
        return len(dino_vote(unit_bank, bank.labels, unit_queries, settings.neighbours))

    def mine() -> int:
        accuracy(bank, queries, 0, settings, CLASSES, CPU)
        return len(queries)

    def limit() -> int:
        return len(unit_queries @ unit_bank.T)

    yield from compare(
        "vote of 20 neighbours", {"DINO's script": theirs, "ours": mine, "limit: products": limit}, turns
    )


def measured(folder: Path, images: int, turns: int, quick: bool = False) -> Iterator[Measured]:
    """Rows of both."""
    yield from itertools.chain(features(folder, images, turns), vote(turns, 0.05 if quick else 1.0))


def main() -> None:
    """Measure and print the table."""
    options = parser_of_images(__doc__, 300, 3).parse_args()
    torch.set_num_threads(1)
    print(table(list(measured(options.folder, options.images, options.turns))))


if __name__ == "__main__":
    main()
