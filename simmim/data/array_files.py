"""Reads TIFF (GeoTIFF), NumPy and PNG files with all their bands and bits, or says why not.

Values are what the file holds: nothing is scaled, no palette looked up, no nodata value replaced.
"""

from __future__ import annotations

import importlib
import io
import logging
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from simmim.data.bands import NPY, Bands

MAX_PIXELS = 89_478_485  # Pillow warns above this; here it is the limit, checked before anything is decoded
NEEDS = "reading it needs the package "  # how the reason of a file begins whose reader is not installed
_LARGEST_BYTES = 2**31  # of an unpacked .npz
_TIFF = b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"
_NPZ, _PNG = b"PK\x03\x04", b"\x89PNG"
PNG_DEPTH, _PNG_COLOUR, _PALETTE = 24, 25, 3  # places in the header, and a colour type


class BadImage(Exception):
    """Why an image cannot be used."""


class OtherBands(BadImage):
    """An image is sound and has other bands or bits than its set."""


def read_bands(content: bytes, wanted: Bands) -> np.ndarray:
    """The image in a file, [bands, h, w] of `wanted.dtype`.

    Raises:
        OtherBands: for an image with other bands or bits.
        BadImage: for anything that is not a whole image.
    """
    array = _read(content, wanted.count)
    is_wanted = array.ndim == 3 and array.shape[0] == wanted.count and array.dtype.newbyteorder("<") == wanted.dtype
    if not is_wanted:
        raise OtherBands(f"{_described(array)}, where {wanted} should be{_advice(array)}")
    check_pixels(*array.shape[1:])
    return array.astype(wanted.dtype)


def hint(content: bytes) -> str:
    """What to set for a file that is no picture in 8-bit RGB or grey and has bands that can be kept; "" for others."""
    if not content.startswith((*_TIFF, NPY, _NPZ)):
        return ""
    try:
        array = _read(content, 0)
    except BadImage as reason:
        return str(reason)
    if array.ndim != 3:
        return f"{_described(array)}, which is no image"
    bands = _bands_of(array)
    kept = f"to keep its bands set pack.bands={bands.count} pack.bits={bands.bits} in datasets.tsv{_advice(array)}"
    return f"{_described(array)}, which is no 8-bit picture; {kept}"


def array_bands(content: bytes) -> Bands | None:
    """Bands and bits of a file that holds an array which can be kept; None for any other."""
    if not content.startswith((*_TIFF, NPY, _NPZ)):
        return None
    try:
        array = _read(content, 0)
    except BadImage:
        return None
    return None if array.ndim != 3 or _advice(array) else _bands_of(array)


def _bands_of(array: np.ndarray) -> Bands:
    """Of the shorter end of its axes."""
    return Bands(min(array.shape[0], array.shape[2]), 8 if array.dtype == np.uint8 else 16)


def _described(array: np.ndarray) -> str:
    return f"an array of {' x '.join(map(str, array.shape))} values of type {array.dtype.name}"


def _advice(array: np.ndarray) -> str:
    known = array.dtype in (np.uint8, np.uint16)
    return "" if known else "; values must be uint8 or uint16, so convert the files first"


def _bands_first(array: np.ndarray, count: int) -> np.ndarray:
    """[h, w], [bands, h, w] or [h, w, bands] -> [bands, h, w]; as it is where no axis has that many bands."""
    if array.ndim == 2:
        return array[None]
    ends = array.shape[:1] == (count,), array.shape[2:] == (count,)
    if all(ends):
        raise BadImage(f"{_described(array)}: its first and its last axis may be the {count} bands; transpose it")
    return np.moveaxis(array, 2, 0) if ends[1] else array


def _read(content: bytes, count: int) -> np.ndarray:
    """The array in a file, [bands, h, w]; one whose axes have no names as `_bands_first` finds them.

    Raises:
        BadImage: for a damaged file, or one that holds no array.
    """
    if not content:
        raise BadImage("zero bytes")
    reader = next((read for magic, read in _READERS if content.startswith(magic)), None)
    if reader is None:
        raise BadImage("neither TIFF, NumPy nor PNG, which pack.bands reads")
    try:
        return reader(content, count)
    except BadImage:
        raise
    except ModuleNotFoundError as error:
        raise BadImage(f"{NEEDS}{error.name}: pip install 'simmim[bands]'") from None
    except Exception as error:  # decoders of damaged files raise nearly anything
        raise BadImage(f"broken: {type(error).__name__}: {error}") from error


def _tiff(content: bytes, count: int) -> np.ndarray:
    """One page with its samples, or pages of one size as bands; overviews and masks are left out."""
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # remarks on odd tags; what matters is raised
    with importlib.import_module("tifffile").TiffFile(io.BytesIO(content)) as file:
        pages = [page.aspage() for page in file.pages]
        pages = [page for page in pages if not (page.is_reduced or page.is_mask)]
        if len({(page.shape, page.dtype, page.axes) for page in pages}) != 1:
            raise BadImage(f"TIFF with {len(pages)} pages of several kinds; split it into one file an image")
        page = pages[0]
        check_pixels(page.imagelength, page.imagewidth)
        if page.axes not in ("YX", "YXS", "SYX") or (len(pages) > 1 and page.axes != "YX"):
            raise BadImage(f"TIFF with axes {page.axes} in {len(pages)} pages; bands are pages, samples or planes")
        if len(pages) > 1:
            return np.stack([each.asarray() for each in pages])
        return np.moveaxis(np.atleast_3d(page.asarray()), 2, 0) if page.axes != "SYX" else page.asarray()


def _npy(content: bytes, count: int) -> np.ndarray:
    return _bands_first(np.load(io.BytesIO(content), allow_pickle=False), count)


def _npz(content: bytes, count: int) -> np.ndarray:
    if sum(each.file_size for each in zipfile.ZipFile(io.BytesIO(content)).infolist()) > _LARGEST_BYTES:
        raise BadImage(f"an archive of more than {_LARGEST_BYTES} bytes is no image")
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        if len(archive.files) != 1:
            raise BadImage(f".npz with {len(archive.files)} arrays, it must hold one: {', '.join(archive.files)}")
        return _bands_first(archive[archive.files[0]], count)


def _png(content: bytes, count: int) -> np.ndarray:
    image = Image.open(io.BytesIO(content), formats=("PNG",))
    check_pixels(image.height, image.width)
    image.verify()  # the checksums of all chunks
    if content[_PNG_COLOUR] == _PALETTE or content[PNG_DEPTH] not in (8, 16):
        raise BadImage("PNG with a palette or fewer than 8 bits, whose values are no measurements")
    return np.moveaxis(np.atleast_3d(importlib.import_module("imagecodecs").png_decode(content)), 2, 0)


def check_pixels(height: int, width: int) -> None:
    """Refuse an image that is too large, before it is decoded."""
    if height * width > MAX_PIXELS:
        raise BadImage(f"too many pixels: {width} x {height}, the limit is {MAX_PIXELS}")


_READERS: tuple[tuple[Any, Callable[[bytes, int], np.ndarray]], ...] = (
    (_TIFF, _tiff),
    (NPY, _npy),
    (_NPZ, _npz),
    (_PNG, _png),
)
