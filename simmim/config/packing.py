"""How a data set is packed: as pictures, or band by band."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator, model_validator

from simmim.config.sections import Section


class PackSection(Section):
    """How a data set is packed.

    Args:
        codec: "original" keeps sound files byte for byte, "jpeg" re-encodes at quality 95, "png" without loss, "rgb8"
            as raw pixels: 3 bytes a pixel, and no decoding.
        short_side_px: reduce the shorter side of larger images to this; None leaves the pixels alone.
        shard_samples: samples per shard.
        max_quarantined_share: more broken images than this share of all is an error.
        bands, bits: images are arrays of so many bands of 8 or 16 bits, from TIFF, NumPy or PNG files, and are stored
            without loss; without these they are pictures, 8-bit RGB or grey.
        shown_bands: which bands pictures show, counted from 1: three (red, green, blue) or one (grey). Packs nothing
            anew; by default the first three, or the first of fewer.
        part: "held_out" takes a share of the source's images, by a hash of their ids, "train" all others.
        held_out: that share.
    """

    codec: Literal["original", "jpeg", "png", "rgb8"] = "original"
    short_side_px: int | None = Field(default=None, ge=1)
    shard_samples: int = Field(default=10_000, ge=1)
    max_quarantined_share: float = Field(default=0.05, ge=0, le=1)
    bands: int | None = Field(default=None, ge=1, exclude_if=lambda bands: bands is None)
    bits: int | None = Field(default=None, exclude_if=lambda bits: bits is None)
    shown_bands: str = Field(default="", exclude=True)
    # Left out of a config that takes the whole source, whose hash and packed files stay what they were.
    part: Literal["all", "train", "held_out"] = Field(default="all", exclude_if=lambda part: part == "all")
    held_out: float = Field(default=0.0, ge=0, lt=1, exclude_if=lambda share: share == 0)

    @field_validator("shown_bands")
    @classmethod
    def _one_or_three(cls, text: str) -> str:
        if not re.fullmatch("([0-9]+(,[0-9]+,[0-9]+)?)?", text):
            raise ValueError("give three bands (red, green, blue) or one (grey), such as 4,3,2")
        return text

    @model_validator(mode="after")
    def _bands_and_bits(self) -> PackSection:
        if (self.bands is None) != (self.bits is None):
            raise ValueError("pack.bands and pack.bits go together: give both, such as pack.bands=13 pack.bits=16")
        if self.bits not in (None, 8, 16):
            raise ValueError(f"pack.bits={self.bits} must be 8 or 16, the depth of the files")
        if self.bands and (self.codec != "original" or self.short_side_px):
            raise ValueError("pack.bands stores images as they are: leave out pack.codec and pack.short_side_px")
        if self.shown_bands and not all(1 <= band <= (self.bands or 0) for band in self.shown):
            raise ValueError(
                f"pack.shown_bands={self.shown_bands} must lie in 1 to pack.bands, which is {self.bands or 'not set'}"
            )
        return self

    @model_validator(mode="after")
    def _part_of_a_share(self) -> PackSection:
        if (self.part == "all") != (self.held_out == 0):
            raise ValueError(
                f"pack.part={self.part} and pack.held_out={self.held_out:g}: give both for a part, or neither"
            )
        return self

    @model_validator(mode="after")
    def _resizing_re_encodes(self) -> PackSection:
        if self.short_side_px is not None and self.codec == "original":
            raise ValueError(
                f"pack.short_side_px={self.short_side_px} needs pack.codec=jpeg, png or rgb8, 'original' keeps bytes"
            )
        return self

    @property
    def shown(self) -> tuple[int, ...]:
        """Bands that pictures show, counted from 1."""
        if self.shown_bands:
            return tuple(map(int, self.shown_bands.split(",")))
        return (1, 2, 3) if (self.bands or 0) >= 3 else (1,)
