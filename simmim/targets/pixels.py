"""The paper's default prediction target: the pixels themselves, or their averages (sections 3.4 and 4.1.4)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from simmim.targets._resolution import averaged, enlarged


@dataclass(frozen=True)
class Pixels:
    """The normalised input image.

    Args:
        image_channels: channels of the images.
        resolution_px: rows it is brought to by averaging; None keeps every pixel.
    """

    image_channels: int
    resolution_px: int | None = None
    losses: ClassVar[tuple[str, ...]] = ("l1", "l2", "smooth_l1")
    in_pixel_units: ClassVar[bool] = True
    cell_multiple: ClassVar[int] = 1

    @property
    def channels(self) -> int:
        """Channels that the head must predict."""
        return self.image_channels

    def __call__(self, pixels: Tensor, normalised: Tensor) -> Tensor:
        """[b, c, H, W], normalised -> [b, c, h, w]."""
        return averaged(normalised, self.resolution_px)

    def to_pixels(self, prediction: Tensor, normalised: Tensor, normalise: Callable[[Tensor], Tensor]) -> Tensor:
        """[b, c, h, w] -> [b, c, H, W]."""
        return enlarged(prediction, normalised)
