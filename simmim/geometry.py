"""The one place that converts mask cells, tokens, target cells and pixels into each other (sections 3.2 and 3.4)."""

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

    def tokens_to_target(self, hidden, target_cell: int):
        """Mask on tokens [..., tokens] -> the same mask on target cells of `target_cell` pixels; numpy or torch."""
        if target_cell <= self.token:
            return _enlarge(hidden, self.token // target_cell)
        step = target_cell // self.token  # all tokens of such a cell lie in one masked patch, so one speaks for them
        return hidden[..., ::step, ::step]

    def target_cell(self, resolution: int, multiple_of: int = 1) -> int:
        """Side in pixels of a target's cells.

        A cell lies inside one token, or covers several tokens of one masked patch: it is hidden as a whole or not at
        all. One encoder feature stands for a whole number of cells.

        Args:
            resolution: cells along the height of the image.
            multiple_of: pixels that the cell's side must be a multiple of.

        Raises:
            ValueError: for a resolution that does not fit, with the nearest ones that do.
        """
        fitting = [n for n in range(1, self.image[0] + 1) if self._fits(n, multiple_of)]
        if resolution not in fitting:
            nearest = sorted(sorted(fitting, key=lambda n: abs(n - resolution))[:2])
            raise ValueError(
                f"target resolution of {resolution} px does not fit an image of {self.image[0]} px with tokens of "
                f"{self.token} px and masked patches of {self.masked_patch} px; nearest that fit: "
                f"{' and '.join(map(str, nearest)) or 'none'}"
            )
        return self.image[0] // resolution

    def _fits(self, resolution: int, multiple_of: int) -> bool:
        cell, rest = divmod(self.image[0], resolution)
        hidden_whole = self.token % cell == 0 or (cell % self.token == 0 and self.masked_patch % cell == 0)
        return rest == 0 and hidden_whole and self.stride % cell == 0 and cell % multiple_of == 0


def _divides(small_name: str, small: int, large_name: str, *large: int) -> None:
    if small < 1 or any(size < 1 or size % small for size in large):
        sizes = " x ".join(str(size) for size in large)
        raise ValueError(f"{small_name} of {small} px does not divide the {large_name} of {sizes} px")


def _enlarge(grid, factor: int):
    """Repeat every entry of [..., h, w] `factor` times along both axes."""
    repeat = "repeat_interleave" if hasattr(grid, "repeat_interleave") else "repeat"
    rows = getattr(grid, repeat)(factor, -2)
    return getattr(rows, repeat)(factor, -1)
