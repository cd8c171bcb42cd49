"""Tiny files in genuine formats, and the ways to read them with a source."""

import io
import json
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from simmim import plugin
from simmim.data.shards import Shards, pack
from simmim.plugin import Component

REAL = Path(os.environ.get("SIMMIM_DEV_DATA", Path(__file__).parents[3] / "shared" / "data"))
needs_real_data = pytest.mark.skipif(
    not REAL.is_dir(), reason=f"LOUD SKIP: {REAL} with real CIFAR-10 and COCO is absent; SIMMIM_DEV_DATA names it"
)


def png(seed=0, size=(8, 6), mode="RGB"):
    content = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)).convert(mode).save(
        content, "PNG"
    )
    return content.getvalue()


def label_map(values):
    content = io.BytesIO()
    Image.fromarray(np.asarray(values, np.uint8)).save(content, "PNG")
    return content.getvalue()


def encoded(pixels, file_format="PNG", mode=None):
    content = io.BytesIO()
    image = Image.frombytes(mode, pixels.shape[1::-1], pixels.tobytes()) if mode else Image.fromarray(pixels)
    image.save(content, file_format)
    return content.getvalue()


def damaged(content):
    """One bit flipped in the compressed pixels."""
    place = content.index(b"IDAT") + 12
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def grey_of_two_bits(values):
    """A PNG that Pillow reads but cannot write: grey, 2 bits a pixel."""
    rows = np.asarray(values, np.uint8)
    height, width = rows.shape
    padded = np.pad(rows, ((0, 0), (0, -width % 4))).reshape(height, -1, 4)
    packed_rows = (padded << np.array([6, 4, 2, 0], np.uint8)).sum(2).astype(np.uint8)
    pixels = zlib.compress(b"".join(b"\0" + row.tobytes() for row in packed_rows))
    header = struct.pack(">IIBBBBB", width, height, 2, 0, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", pixels), (b"IEND", b"")]
    chunks = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())


def source(name, **settings):
    return plugin.build("data.sources", Component(name=name, **settings))


def samples(name, **settings):
    return [sample.read() for sample in source(name, **settings).samples()]


def packed(tmp_path, name, **settings):
    out = tmp_path / "packed"
    pack(
        source(name, **settings), out, codec="original", shard_samples=50, short_side_px=None, max_quarantined_share=0.9
    )
    return Shards(out), pq.read_table(out / "quarantine.parquet").to_pylist()
