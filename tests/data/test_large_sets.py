"""A set of ImageNet's size opens at once, in little memory, and reading it does not add any."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from simmim.data.index import FORMAT, INDEX, index_sha256
from simmim.data.layout import QUARANTINE, QUARANTINE_SCHEMA, SAMPLES, SAMPLES_SCHEMA
from simmim.storage.files import sha256_file, write_text
from simmim.storage.parquet import write_parquet

ROWS, ROWS_A_SHARD = 1_281_167, 10_000
OPENED = """
import resource, sys, time
from simmim.data.shards import Shards
before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
shards = Shards(sys.argv[1])
print(len(shards), shards.sizes[-1].tolist(), int(shards.labels[-1]))
print(time.process_time() - began, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1e3)
"""


def write_set(folder: Path) -> Path:
    """Everything of a packed set but its images."""
    row = np.arange(ROWS)
    digests = np.random.default_rng(0).bytes(32 * ROWS).hex()
    columns = {
        "sample_id": [f"n{n % 1000:08d}/n{n % 1000:08d}_{n}.JPEG" for n in range(ROWS)],
        "sha256": [digests[64 * n : 64 * n + 64] for n in range(ROWS)],
        "label": row % 1000,
        "height": np.full(ROWS, 256, np.int32),
        "width": np.full(ROWS, 341, np.int32),
        "shard": (row // ROWS_A_SHARD).astype(np.int32),
        "row": (row % ROWS_A_SHARD).astype(np.int32),
        "image_offset": row % ROWS_A_SHARD * 34_000 + 100,
        "image_bytes": np.full(ROWS, 33_900),
        "annotation_offset": np.full(ROWS, -1),
        "annotation_bytes": np.zeros(ROWS, np.int64),
        "annotation_sha256": pa.nulls(ROWS, pa.string()),
    }
    write_parquet(folder / SAMPLES, pa.table({name: columns[name] for name in SAMPLES_SCHEMA.names}, SAMPLES_SCHEMA))
    write_parquet(folder / QUARANTINE, QUARANTINE_SCHEMA.empty_table())
    shards = [f"shard-{number:05d}.parquet" for number in range(-(-ROWS // ROWS_A_SHARD))]
    for name in shards:
        os.truncate(os.open(folder / name, os.O_CREAT | os.O_WRONLY), 34_000 * ROWS_A_SHARD + 200)  # takes no disk
    index = {
        "format": FORMAT,
        "classes": [str(number) for number in range(1000)],
        "samples": ROWS,
        "digest": "0" * 64,
        "shards": [{"file": name, "sha256": "", "bytes": 34_000 * ROWS_A_SHARD + 200} for name in shards],
        "samples_sha256": sha256_file(folder / SAMPLES),
        "quarantine_sha256": sha256_file(folder / QUARANTINE),
    }
    write_text(folder / INDEX, json.dumps(index | {"index_sha256": index_sha256(index)}))
    return folder


@pytest.mark.slow
def test_a_set_of_a_million_images_opens_at_once(tmp_path):
    command = [sys.executable, "-c", OPENED, str(write_set(tmp_path))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    first, second = done.stdout.splitlines()
    assert first == f"{ROWS} [256, 341] {(ROWS - 1) % 1000}"
    seconds, megabytes = map(float, second.split())
    assert seconds < 3 and megabytes < 300, second  # 1 s and 240 MB on a machine that is not busy
