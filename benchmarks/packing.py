"""How many images are packed in a second, and what each costs in CPU time, with one and with several processes.

    python benchmarks/packing.py data/imagenet/val [--processes 1 2] [--repeats 3]

Packs a folder of images with the settings of the paper's training set (JPEG, short side 256 px) and as the images are.
The CPU time is that of all processes, so it says the same on a machine that has other work; seconds do not. The last
column is the training set of ImageNet-1K, 1,281,167 images, at this CPU time if all processes have a core each.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from simmim.data.packing import pack
from simmim.data.sources.image_folder import ImageFolder

IMAGENET_IMAGES = 1_281_167
SETTINGS = {"short side 256 px": ("jpeg", 256), "as they are": ("original", None)}


def cpu_seconds() -> float:
    """CPU time of this process and of those that it has ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def taken(work: Callable[[], None]) -> tuple[float, float]:
    """Seconds and CPU seconds of some work."""
    seconds, cpu = time.perf_counter(), cpu_seconds()
    work()
    return time.perf_counter() - seconds, cpu_seconds() - cpu


def packed(folder: Path, codec: str, short_side_px: int | None, processes: int) -> None:
    """Pack the folder into one that is thrown away."""
    with tempfile.TemporaryDirectory() as out:
        options = {"codec": codec, "short_side_px": short_side_px, "shard_samples": 10_000}
        pack(ImageFolder(str(folder)), out, **options, max_quarantined_share=1.0, processes=processes)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="images, at any depth")
    parser.add_argument("--processes", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=3, help="the least CPU time counts")
    options = parser.parse_args()
    images = sum(1 for _ in ImageFolder(str(options.folder)).samples())
    print("| images | processes | images a second | images a CPU second | ImageNet-1K, hours |\n|---|---|---|---|---|")
    for name, (codec, short_side_px) in SETTINGS.items():
        for processes in options.processes:
            times = [
                taken(lambda c=codec, s=short_side_px, p=processes: packed(options.folder, c, s, p))
                for _ in range(options.repeats)
            ]
            seconds, cpu = min(times, key=lambda each: each[1])
            hours = IMAGENET_IMAGES * cpu / images / processes / 3600
            print(f"| {name} | {processes} | {images / seconds:.0f} | {images / cpu:.0f} | {hours:.2f} |", flush=True)


if __name__ == "__main__":
    main()
