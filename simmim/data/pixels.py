"""A packed image's bytes to its pixels, and pixels to another size: the one decoder and the one resizer of the loader.

JPEG, which is most of what is read, goes through torchvision's decoder and raw pixels through none; anything else is
read by Pillow. All three give the same pixels. Sizes change in 8 bits and antialiased, at most one grey level from
what Pillow makes of the same picture.

torchvision 0.29 says that its decoders will go; TorchCodec is to take their place then, and the test that compares the
pixels with Pillow's (tests/data/test_loader_pixels.py) decides whether it can.
"""

from __future__ import annotations

import io
from collections.abc import Iterable

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.io import ImageReadMode, decode_jpeg

from simmim.data.bands import from_bytes, is_array

PPM = b"P6\n"  # how raw pixels begin: a header as text, then h x w x 3 bytes
_JPEG = b"\xff\xd8\xff"
_STEPS = 257  # 65,535 / 255: levels of 16 bits in one of 8


def open_image(content: bytes | bytearray, channels: int = 3) -> Tensor:
    """Decode a packed image.

    Returns:
        A picture of one or three channels uint8 [c, h, w], or n bands: uint8, or of 16 bits float32 from 0 to 255,
        which keeps all values apart.

    Raises:
        ValueError: for an image that has not so many channels.
    """
    if is_array(content):
        return _bands(from_bytes(content), channels)
    if channels not in (1, 3):
        raise ValueError(f"{channels} channels are read from pictures, which have 3 or 1: set pack.bands={channels}")
    if channels == 3 and content.startswith(PPM):
        return _raw(_writable(content))
    if channels == 3 and content.startswith(_JPEG):
        try:
            return decode_jpeg(torch.frombuffer(_writable(content), dtype=torch.uint8), ImageReadMode.RGB)
        except RuntimeError:  # a rare kind of JPEG that packing has read, so that Pillow can
            pass
    return pixels_of(Image.open(io.BytesIO(content)).convert("RGB" if channels == 3 else "L"))


def pixels_of(picture: Image.Image) -> Tensor:
    """uint8 [c, h, w] of a Pillow picture, RGB or grey."""
    return torch.from_numpy(np.atleast_3d(np.array(picture))).permute(2, 0, 1)


def picture_of(pixels: Tensor) -> Image.Image:
    """The Pillow picture of uint8 [c, h, w] with one or three channels."""
    values = pixels.permute(1, 2, 0).numpy()
    return Image.fromarray(values if values.shape[2] == 3 else values[:, :, 0])


def resized(image: Tensor, size: tuple[int, int], interpolation: str) -> Tensor:
    """An image [c, h, w] at another height and width, antialiased.

    Args:
        interpolation: "bilinear" or "bicubic".
    """
    if tuple(image.shape[1:]) == size:
        return image
    layout = torch.channels_last if image.stride(0) == 1 else torch.contiguous_format  # a part of an image is neither
    part = image[None].contiguous(memory_format=layout)
    pixels = nn.functional.interpolate(part, size, mode=interpolation, antialias=True)[0]
    return pixels.clamp_(0, 255) if pixels.is_floating_point() else pixels  # cubic resizing goes beyond the range


def batch_of(images: Iterable[Tensor]) -> Tensor:
    """Images of one size [c, h, w] as [n, c, h, w]; channels that lie beside each other in the images still do."""
    images = list(images)
    if images[0].stride(0) != 1:
        return torch.stack(images)
    return torch.stack([image.permute(1, 2, 0) for image in images]).permute(0, 3, 1, 2)


def _writable(content: bytes | bytearray) -> bytearray:
    """The same bytes where torch takes them from without a warning; they are not written to."""
    return content if isinstance(content, bytearray) else bytearray(content)


def _raw(content: bytearray) -> Tensor:
    """The picture [3, h, w] that lies in a binary PPM as `simmim.data.decode` writes it."""
    _, size, _ = content[:32].split(b"\n", 2)
    width, height = map(int, size.split())
    pixels = torch.frombuffer(content, dtype=torch.uint8, offset=len(content) - 3 * height * width)
    return pixels.view(height, width, 3).permute(2, 0, 1)


def _bands(stored: np.ndarray, channels: int) -> Tensor:
    if len(stored) != channels:
        raise ValueError(f"{channels} channels are read, and the images have {len(stored)} bands: set images.channels")
    values = stored if stored.dtype == np.uint8 else stored.astype(np.float32) / _STEPS
    return torch.from_numpy(values)
