"""How many images are packed in a CPU second, beside decoding them once and nothing else, and by how many cores.

    python benchmarks/packing.py data/imagenet/val [--images 300] [--processes 1 2] [--turns 3]

Packs JPEGs as they are, and with a short side of 256 px as JPEG and as raw pixels. The limit is what every check of an
image must do at least: Pillow decodes it. Then, in seconds of the clock, one process against several, of eight times as
many images in shards of a hundred, so that every process has several of them.
"""

from __future__ import annotations

import io
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from measure import Measured, Way, compare, jpegs, linked, parser_of_images, table
from PIL import Image

from simmim.data.packing import pack
from simmim.data.sources.image_folder import ImageFolder

SETTINGS = {"as they are": ("original", None), "JPEG 256 px": ("jpeg", 256), "raw pixels 256 px": ("rgb8", 256)}
REPEATS, SHARD_SAMPLES = 8, 100
GOALS = {"as they are": 1.0, "JPEG 256 px": 0.8}


def decoded(files: list[Path]) -> Way:
    """Every file decoded by Pillow."""

    def run() -> int:
        for file in files:
            Image.open(io.BytesIO(file.read_bytes())).convert("RGB")
        return len(files)

    return run


def packed(folder: Path, images: int, setting: str, processes: int = 1, shard_samples: int = 10_000) -> Way:
    """The folder packed into one that is thrown away."""
    codec, short_side_px = SETTINGS[setting]

    def run() -> int:
        with tempfile.TemporaryDirectory() as out:
            options = {"codec": codec, "short_side_px": short_side_px, "shard_samples": shard_samples}
            pack(ImageFolder(str(folder)), out, **options, max_quarantined_share=1.0, processes=processes)
        return images

    return run


def measured(folder: Path, images: int, processes: list[int], turns: int) -> Iterator[Measured]:
    """Rows for CPU seconds, then for seconds of the clock."""
    files = jpegs(folder, images)
    with linked(files) as source:
        ways = {"limit: Pillow decodes": decoded(files)}
        ways |= {name: packed(source, len(files), name) for name in SETTINGS}
        yield from compare("packing, one process", ways, turns, GOALS)
    with linked(REPEATS * files) as source:
        for name in SETTINGS:
            work = source, REPEATS * len(files), name
            several = {f"{name}, {count} processes": packed(*work, count, SHARD_SAMPLES) for count in processes}
            goals = {way: float(count) for way, count in zip(several, processes) if count > 1}
            yield from compare("packing, by the clock", several, turns, goals, time.perf_counter)


def main() -> None:
    """Measure and print the table."""
    parser = parser_of_images(__doc__, 300, 3)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args()
    print(table(list(measured(options.folder, options.images, options.processes, options.turns))))


if __name__ == "__main__":
    main()
