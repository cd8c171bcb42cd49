"""How images become pictures that a person looks at: which bands, and how their values become 8 bits."""

from __future__ import annotations

import io
import json
from dataclasses import asdict, dataclass

import torch
from PIL import Image
from torch import Tensor

from simmim.config.packing import PackSection
from simmim.data.shards import Shards

_DEVIATIONS = 2.0  # from the mean of a band to black and to white


@dataclass(frozen=True)
class Shown:
    """What of an image is shown; with no bands all of it as it is, which is 8-bit RGB or grey.

    Args:
        bands: that become red, green and blue, or grey; counted from 1.
        black, white: by shown band, the values from 0 to 255 that become 0 and 255: two standard deviations of the
            band, over the whole packed set, below and above its mean.
    """

    bands: tuple[int, ...] = ()
    black: tuple[float, ...] = ()
    white: tuple[float, ...] = ()

    def __call__(self, image: Tensor) -> Tensor:
        """An image [c, H, W], uint8 or from 0 to 255 -> uint8 [1 or 3, H, W]."""
        if not self.bands:
            return image
        black, white = (torch.tensor(values)[:, None, None] for values in (self.black, self.white))
        chosen = image[[band - 1 for band in self.bands]].float()
        return (255 * (chosen - black) / (white - black).clamp(min=1e-6)).round().clamp(0, 255).byte()

    def png(self, image: Tensor) -> bytes:
        """An image [c, H, W] as PNG bytes."""
        return png(self(image))

    @property
    def record(self) -> dict[bytes, bytes]:
        """What a file of pictures says about them, for its footer; nothing about plain ones."""
        return {b"shown": json.dumps(asdict(self)).encode()} if self.bands else {}


def shown(shards: Shards, pack: PackSection) -> Shown:
    """How the images of a packed set are shown."""
    if shards.bands is None:
        return Shown()
    places = [band - 1 for band in pack.shown]
    pairs = [(shards.bands.mean[place], _DEVIATIONS * shards.bands.std[place]) for place in places]
    black, white = (tuple(255 * (mean + sign * width) for mean, width in pairs) for sign in (-1, 1))
    return Shown(pack.shown, black, white)


def png(pixels: Tensor) -> bytes:
    """uint8 [c, H, W] with one or three channels -> PNG bytes."""
    stream = io.BytesIO()
    array = pixels.permute(1, 2, 0).numpy()
    Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array).save(stream, "png")
    return stream.getvalue()
