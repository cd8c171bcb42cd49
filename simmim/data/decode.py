"""Converts an image's bytes to what every decoder reads alike (8-bit RGB or grey, upright, whole), or says why not.

Everything is decoded completely once. Pillow's LOAD_TRUNCATED_IMAGES stays off: with it half an image passes silently.
"""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
from PIL import Image

from simmim.data.array_files import PNG_DEPTH, BadImage, array_bands, check_pixels, hint, read_bands
from simmim.data.bands import Bands, to_bytes

# Sound JPEGs and PNGs byte for byte; quality 95; without loss; raw pixels with the header of a PPM file.
CODECS = "original", "jpeg", "png", "rgb8"
JPEG_QUALITY = 95
_FORMAT_OF = {"jpeg": "JPEG", "rgb8": "PPM"}  # Pillow's names; the others are stored as PNG
_FORMATS = {
    "JPEG": {".jpg", ".jpeg", ".jpe", ".jfif"},
    "MPO": {".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"},  # several JPEGs in one file, as many phones write photos
    "PNG": {".png"},
    "WEBP": {".webp"},
    "BMP": {".bmp"},
    "TIFF": {".tif", ".tiff"},
    "GIF": {".gif"},
}
_READERS = tuple(name for name in _FORMATS if name != "MPO")  # Pillow finds these with its JPEG reader
SUFFIXES = set().union(*_FORMATS.values())  # of pictures
REDUCED = "16 bits per channel reduced to 8"
_ORIENTATION = 0x0112  # EXIF tag


@dataclass(frozen=True, slots=True)
class Stored:
    """An image as it goes into a shard.

    Args:
        content: encoded bytes.
        image_px: height and width.
        changes: what was corrected, "" for a sound image.
    """

    content: bytes
    image_px: tuple[int, int]
    changes: str


def normalise(content: bytes, name: str, *, codec: str, short_side_px: int | None, annotated: bool) -> Stored:
    """Decode an image fully, correct what can be corrected, and encode it for storage.

    Args:
        name: file name; one whose suffix contradicts the content is reported.
        codec: one of `CODECS`; "original" keeps the bytes of a sound 8-bit RGB or grey JPEG or PNG.
        short_side_px: reduce the shorter side to this (not with "original"); never enlarges.
        annotated: keep the pixels where they are (an EXIF rotation is then dropped, not applied).

    Raises:
        BadImage: for anything that is not a whole image.
    """
    if not content:
        raise BadImage("zero bytes")
    upright, file_format, changes = _decode(content, annotated)
    if (wanted := _misnamed(name, file_format)) is not None:
        changes.insert(0, f"{file_format} named {wanted}")
    upright = _reduce(upright, short_side_px)
    keep = codec == "original" and not changes and file_format in ("JPEG", "PNG")
    stored = content if keep else _encode(upright, _FORMAT_OF.get(codec, "PNG"))
    return Stored(stored, (upright.height, upright.width), "; ".join(changes))


def as_bands(content: bytes, bands: Bands) -> Stored:
    """Read an image with all its bands, and make an array of it for storage.

    Raises:
        OtherBands: for a sound image with other bands or bits.
        BadImage: for anything that is not a whole image.
    """
    array = read_bands(content, bands)
    return Stored(to_bytes(array), array.shape[1:], "")


def bands_of(content: bytes) -> Bands | None:
    """Bands and bits of an image that is no picture in 8-bit RGB or grey; None for one that is.

    Raises:
        BadImage: for what is neither.
    """
    try:
        _decode(content, annotated=False)
    except BadImage:
        if bands := array_bands(content):
            return bands
        raise
    return None


def _decode(content: bytes, annotated: bool) -> tuple[Image.Image, str, list[str]]:
    """A fully loaded image in mode RGB or L, its format, and what was changed on the way."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's remarks on odd metadata; bombs are refused by `check_pixels`
            image = _loaded(content)
            file_format = str(image.format)
            upright, changes = _to_8_bit(image, content, file_format, annotated)
        return upright, file_format, changes
    except (BadImage, MemoryError):  # the latter says nothing of the image
        raise
    except Image.DecompressionBombError as error:
        raise BadImage(f"too many pixels: {error}") from error
    except Image.UnidentifiedImageError as error:
        raise BadImage(hint(content) or f"not an image in any of the formats {', '.join(_READERS)}") from error
    except Exception as error:  # decoders of damaged files raise nearly anything
        raise BadImage(f"broken: {type(error).__name__}: {error}") from error


def _loaded(content: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(content), formats=_READERS)
    check_pixels(image.height, image.width)
    if image.format == "PNG":
        image.verify()  # the checksums of all chunks, which loading skips
        image = Image.open(io.BytesIO(content), formats=("PNG",))
    image.load()
    return image


def _frames(content: bytes) -> int:
    """Number of frames; counted on an image of its own, since counting moves it to other frames."""
    return getattr(Image.open(io.BytesIO(content), formats=_READERS), "n_frames", 1)


def _to_8_bit(image: Image.Image, content: bytes, file_format: str, annotated: bool) -> tuple[Image.Image, list[str]]:
    """The image in mode RGB or L, and what was changed on the way."""
    changes, is_turned = [], file_format == "TIFF"  # Pillow turns these upright while it loads them
    orientation = _orientation(Image.open(io.BytesIO(content), formats=("TIFF",)) if is_turned else image)
    if orientation != 1:
        changes.append(f"EXIF orientation {orientation} {'dropped: it has an annotation' if annotated else 'applied'}")
    if file_format != "JPEG" and (frames := _frames(content)) > 1:
        changes.append(f"first of {frames} frames kept")
    if _is_16_bit(image, content, file_format):
        changes.append(REDUCED)
    elif image.mode not in ("RGB", "L"):
        changes.append(f"mode {image.mode} converted to RGB")
    elif "transparency" in image.info:
        changes.append("transparent colour dropped")
    image = _eight_bit(image)
    if orientation != 1 and annotated == is_turned:
        image = image.transpose(_TRANSPOSE[_BACK.get(orientation, orientation) if is_turned else orientation])
    return image, changes


_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_BACK = {6: 8, 8: 6}  # the others undo themselves


def _orientation(image: Image.Image) -> int:
    """1 to 8; 1 when there is none or when the EXIF block is unreadable."""
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # a broken EXIF block says nothing about the pixels
        return 1
    return orientation if orientation in _TRANSPOSE else 1


def _is_16_bit(image: Image.Image, content: bytes, file_format: str) -> bool:
    # Pillow reduces colour PNGs of 16 bits on its own, so only the header tells
    return image.mode.startswith("I;16") or (file_format == "PNG" and content[PNG_DEPTH] == 16)


def _eight_bit(image: Image.Image) -> Image.Image:
    if image.mode in ("RGB", "L"):
        return image
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG"):
        # Pillow's own conversion clips at 255
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise BadImage(f"mode {image.mode} has no agreed 8-bit range; convert it before packing")
    if image.mode in ("P", "PA") and "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("RGB")


def _misnamed(name: str, file_format: str) -> str | None:
    suffix = PurePosixPath(name).suffix.lower()
    return suffix if suffix in SUFFIXES - _FORMATS[file_format] else None


def _reduce(image: Image.Image, short_side_px: int | None) -> Image.Image:
    if not short_side_px or min(image.size) <= short_side_px:
        return image
    scale = short_side_px / min(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    from simmim.data.pixels import picture_of, pixels_of, resized  # torch, which no other set needs for packing

    return picture_of(resized(pixels_of(image), (height, width), "bicubic"))


def _encode(image: Image.Image, file_format: str) -> bytes:
    encoded = io.BytesIO()
    image = image.convert("RGB")
    image.info.clear()  # no stale EXIF, no profile: the pixels are what they are
    image.save(encoded, file_format, **({"quality": JPEG_QUALITY} if file_format == "JPEG" else {}))
    return encoded.getvalue()
