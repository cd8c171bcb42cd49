"""The one place that converts mask cells, encoder tokens and pixels into each other (section 3.2)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Geometry:
    """Sizes of one pre-training set-up; every length is in pixels of the encoder's input.

    Args:
        image: height and width of the input.
        token: side of the patch that becomes one token (4 for Swin, 16 for ViT).
        stride: side of the area that one output feature stands for (32 for a four-stage Swin, 16 for ViT).
        masked_patch: side of the square that is hidden as a whole, independent of `token`.

    Raises:
        ValueError: where one size does not divide the other; nothing is ever cropped or rounded.
    """

    image: tuple[int, int]
    token: int
    stride: int
    masked_patch: int

    def __post_init__(self) -> None:
        _divides("masked patch", self.masked_patch, "image", *self.image)
        _divides("encoder stride", self.stride, "image", *self.image)
        _divides("token", self.token, "masked patch", self.masked_patch)
        _divides("token", self.token, "encoder stride", self.stride)

    @property
    def cells(self) -> tuple[int, int]:
        """Rows and columns of the mask."""
        return self.image[0] // self.masked_patch, self.image[1] // self.masked_patch

    @property
    def tokens(self) -> tuple[int, int]:
        """Rows and columns of the tokens that enter the first block."""
        return self.image[0] // self.token, self.image[1] // self.token

    def cells_to_tokens(self, hidden):
        """Mask on cells [..., cells] -> the same mask on tokens [..., tokens]; numpy or torch."""
        return _enlarge(hidden, self.masked_patch // self.token)

    def tokens_to_pixels(self, hidden):
        """Mask on tokens [..., tokens] -> the same mask on pixels [..., image]; numpy or torch."""
        return _enlarge(hidden, self.token)


def _divides(small_name: str, small: int, large_name: str, *large: int) -> None:
    if small < 1 or any(size < 1 or size % small for size in large):
        sizes = " x ".join(str(size) for size in large)
        raise ValueError(f"{small_name} of {small} px does not divide the {large_name} of {sizes} px")


def _enlarge(grid, factor: int):
    """Repeat every entry of [..., h, w] `factor` times along both axes."""
    repeat = "repeat_interleave" if hasattr(grid, "repeat_interleave") else "repeat"
    rows = getattr(grid, repeat)(factor, -2)
    return getattr(rows, repeat)(factor, -1)
