"""The paper's default prediction target: the pixels themselves (section 3.4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor


@dataclass(frozen=True)
class Pixels:
    """The normalised input image.

    Args:
        in_channels: channels of the images.
    """

    in_channels: int = 3
    losses: ClassVar[tuple[str, ...]] = ("l1",)

    @property
    def channels(self) -> int:
        """Channels that the head must predict."""
        return self.in_channels

    def __call__(self, images: Tensor) -> Tensor:
        """[b, in_channels, H, W], normalised -> the same."""
        return images
