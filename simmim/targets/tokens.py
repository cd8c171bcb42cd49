"""Discrete tokens that a frozen tokenizer makes of the image: colour clusters or a discrete VAE (section 4.1.5)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from simmim.targets._resolution import averaged, enlarged


@dataclass(frozen=True)
class Tokens:
    """The codes of the image, brought by averaging to `resolution_px` times the tokenizer's factor rows.

    The tokenizer is no part of the model: it is neither trained nor decayed nor saved with it.

    Args:
        image_channels: channels of the images, 3.
        tokenizer: a class of `simmim.tokenizers`; a sheet gives its name in `config/tokenizers.tsv`.
        resolution_px: codes along the image's height.
    """

    image_channels: int
    tokenizer: nn.Module
    resolution_px: int
    losses: ClassVar[tuple[str, ...]] = ("cross_entropy",)
    in_pixel_units: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.image_channels != 3:
            raise ValueError(f"target=tokens reads RGB images, these have {self.image_channels} channel(s)")
        self.tokenizer.requires_grad_(False).eval()

    @property
    def channels(self) -> int:
        """Channels that the head must predict: one per code."""
        return self.tokenizer.codes

    @property
    def cell_multiple(self) -> int:
        """Pixels along a side of what the tokenizer makes one code of."""
        return self.tokenizer.factor

    @torch.no_grad()
    def __call__(self, pixels: Tensor, normalised: Tensor) -> Tensor:
        """[b, 3, H, W], from 0 to 255 -> codes, int64 [b, 1, h, w]."""
        colours = averaged(pixels.float() / 255, self.resolution_px * self.tokenizer.factor)
        with torch.autocast(pixels.device.type, enabled=False):  # a code must not depend on the number format
            return self._here(pixels).encode(colours)[:, None]

    @torch.no_grad()
    def to_pixels(self, prediction: Tensor, normalised: Tensor, normalise: Callable[[Tensor], Tensor]) -> Tensor | None:
        """Logits [b, codes, h, w] -> the likeliest codes decoded, [b, 3, H, W]; None without a decoder."""
        colours = self._here(prediction).decode(prediction.argmax(1))
        return None if colours is None else enlarged(normalise(255 * colours), normalised)

    def _here(self, images: Tensor) -> nn.Module:
        return self.tokenizer.to(images.device)
