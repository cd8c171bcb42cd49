"""The loader's memory stays what it is: over twenty epochs, and however many shards a set has."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from simmim.data.packing import pack
from simmim.data.sources.image_folder import ImageFolder

IMAGES, SIDE_PX, EPOCHS, SETTLED = 400, 96, 50, 30
READ = f"""
import sys
from pathlib import Path
import numpy as np, torch
from simmim.config.sections import ImagesSection
from simmim.data.pretraining import PretrainingImages
from simmim.data.shards import Shards
from simmim.geometry import Geometry
from simmim.machine import keep_freed_memory
from simmim.masks.random import Random
from simmim.train.batch_sampler import BatchSampler
from simmim.train.reading import loader

def held(pid):  # bytes of a process; what several share counts once, libraries not: any other process may share them
    lines = Path("/proc", str(pid), "smaps_rollup").read_text().splitlines()
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith(("Pss_Anon:", "Pss_Shmem:")))

torch.set_num_threads(1)
keep_freed_memory()
folder, workers = sys.argv[1], int(sys.argv[2])
images = PretrainingImages(Shards(folder), ImagesSection(), Random(0.6), Geometry((64, 64), 4, 32, 16), 0, 3)
steps = {EPOCHS} * len(images) // 50
batches = loader(images, BatchSampler(len(images), 50, 50, steps, 0), workers, torch.device("cpu"))
for step, batch in enumerate(batches, 1):
    if step * 50 % len(images) == 0:
        children = Path("/proc/self/task", str(__import__("os").getpid()), "children").read_text().split()
        print(sum(held(pid) for pid in ["self", *children]) / 1e6)
"""


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """The same images in 10 and in 100 shards."""
    scratch = tmp_path_factory.mktemp("memory")
    random = np.random.default_rng(0)
    (scratch / "images").mkdir()
    for number in range(IMAGES):
        pixels = random.integers(0, 256, (SIDE_PX, SIDE_PX, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(scratch / "images" / f"{number:03d}.jpg")
    for shards in (10, 100):
        source = ImageFolder(str(scratch / "images"))
        pack(source, scratch / str(shards), codec="original", short_side_px=None, shard_samples=IMAGES // shards)
        assert len([*(scratch / str(shards)).glob("shard-*.parquet")]) == shards
    return scratch


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_memory_is_flat_over_epochs_and_shards(sets, workers):
    after = {}
    for shards in (10, 100):
        command = [sys.executable, "-c", READ, str(sets / str(shards)), str(workers)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
        megabytes = [float(line) for line in done.stdout.split()]
        assert len(megabytes) == EPOCHS
        # What is freed is kept for the next batch: until crops of all sizes have been there, the heap grows.
        early, late = megabytes[SETTLED - 1], max(megabytes[SETTLED:])
        assert late - early < 16, megabytes  # 8,000 images: a leak of their bytes alone would be 60
        after[shards] = late
    assert after[100] - after[10] < 16, after
