"""Files of n bands that tests write: TIFF as GDAL makes them, NumPy arrays, PNG of 16 bits."""

from __future__ import annotations

import io
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile

from simmim.data.packing import pack
from simmim.data.sources.image_folder import ImageFolder

HEIGHT, WIDTH = 100, 170  # of the files, a little more than the 96 x 160 that networks see


def scene(number: int, bands: int, bits: int = 16, size: tuple[int, int] = (HEIGHT, WIDTH)) -> np.ndarray:
    """A smooth image [bands, h, w] in which every band has its own mean and contrast, and all show the same hills."""
    y, x = (np.linspace(0, 1, side) for side in size)
    hills = np.sin(7 * x[None, :] + number) * np.cos(5 * y[:, None] - 2 * number)  # [h, w]
    own = np.stack([np.sin((3 + band) * (x[None, :] + y[:, None]) + number) for band in range(bands)])
    level = (np.arange(bands) + 2)[:, None, None] / (3 * bands)  # share of the range
    values = level + 0.1 * hills + 0.03 * own
    return np.round((2**bits - 1) * values.clip(0, 1)).astype(np.uint16 if bits == 16 else np.uint8)


def tiff(array: np.ndarray, layout: str = "samples", **options) -> bytes:
    """[bands, h, w] as TIFF: bands as "samples" of a pixel, as "planes" or as "pages"."""
    stream = io.BytesIO()
    options |= {"photometric": "minisblack", "metadata": None}
    if layout == "pages" or len(array) == 1:
        tifffile.imwrite(stream, array, **options)
    else:
        contiguous = layout == "samples"
        array = np.moveaxis(array, 0, 2) if contiguous else array
        tifffile.imwrite(stream, array, planarconfig="contig" if contiguous else "separate", **options)
    return stream.getvalue()


def npy(array: np.ndarray) -> bytes:
    """Any array as .npy."""
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def npz(**arrays: np.ndarray) -> bytes:
    """Arrays as .npz."""
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()


def png(array: np.ndarray) -> bytes:
    """[bands, h, w] as PNG of its own depth."""
    return bytes(imagecodecs.png_encode(np.ascontiguousarray(np.moveaxis(array, 0, 2)).squeeze()))


def write(folder: Path, files: dict[str, bytes]) -> Path:
    """Files in a folder, which may be new; names may hold folders."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def packed_folder(source: Path, out: Path, bands: int, bits: int = 16, **settings) -> Path:
    """A folder of files, packed; classes are its folders where it has any."""
    has_classes = any(path.is_dir() for path in source.iterdir())
    options = {"codec": "original", "shard_samples": 4, "short_side_px": None} | settings
    pack(ImageFolder(str(source), class_folders=has_classes), out, bands=bands, bits=bits, **options)
    return out
