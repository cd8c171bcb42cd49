"""What every encoder is, with the defaults of what few of them need (`simmim.encoders` has the contract).

Shapes: b images, h w tokens or cells, d channels.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from torch import Tensor, nn


def check_drop_path(drop_path: float) -> None:
    """Refuse a stochastic depth that drops every path, or is no share."""
    if not 0 <= drop_path < 1:
        raise ValueError(f"encoder.drop_path {drop_path:g} must be at least 0 and below 1")


class Encoder(nn.Module, ABC):
    """One class for pre-training and every transfer.

    Attributes:
        transfer_settings: settings that may differ from those of the pre-training.
        final_norm: whether `forward` ends in a norm; a classifier brings its own otherwise.
        any_size: whether inputs of any height and width are taken; otherwise of `image_px` only.
        image_px: height and width it was built for.
        token, stride: side in pixels of one token, and of what one output feature stands for.
        width: channels of the output.
        depth: number of blocks.
        levels: channels and stride of every map of `feature_maps`.
        mask_token: what hidden tokens are replaced by.
    """

    transfer_settings: ClassVar[frozenset[str]] = frozenset()
    final_norm: bool = True
    any_size: bool = False
    image_px: tuple[int, int]
    token: int
    stride: int
    width: int
    depth: int
    levels: list[tuple[int, int]]
    mask_token: nn.Parameter

    @property
    def kept_settings(self) -> dict[str, Any]:
        """Settings that a transfer must not derive anew from its own window and input size."""
        return {}

    def takes(self, image_px: tuple[int, int]) -> bool:
        """Whether inputs of this height and width are taken."""
        return self.any_size or tuple(image_px) == self.image_px

    @abstractmethod
    def forward(self, images: Tensor, hidden: Tensor | None = None) -> Tensor:
        """Normalised images [b, c, H, W], hidden tokens [b, H / token, W / token] -> [b, width, H / stride, ...]."""

    @abstractmethod
    def block_maps(self, images: Tensor, hidden: Tensor | None = None) -> Iterator[Tensor]:
        """Output of every block as a map [b, d, h, w], one after another; `hidden` as in `forward`."""

    def block_features(self, images: Tensor, hidden: Tensor | None = None) -> list[Tensor]:
        """Output of every block averaged over its tokens, hidden or not: `depth` tensors [b, d]."""
        return [x.mean(dim=(2, 3)) for x in self.block_maps(images, hidden)]

    @abstractmethod
    def feature_maps(self, images: Tensor) -> list[Tensor]:
        """Maps for dense tasks, finest first: [b, channels, ~H / stride, ~W / stride] per level."""

    @abstractmethod
    def layer_of(self, parameter_name: str) -> int:
        """Layer for layer-wise learning-rate decay: 0 the embedding, 1 ... depth the blocks, depth + 1 the rest."""

    def stem_parameters(self) -> set[str]:
        """Names of the parameters that an image meets before the mask tokens; none where an encoder does not say."""
        return set()

    def unmapped_parameters(self) -> set[str]:
        """Names of the parameters that no map of `feature_maps` depends on."""
        return {"mask_token"}

    def names_below(self, part: str) -> set[str]:
        """Names of the parameters of a part of the encoder."""
        return {f"{part}.{name}" for name, _ in self.get_submodule(part).named_parameters()}

    def no_weight_decay(self, pretraining: bool = False) -> set[str]:
        """Names without weight decay beside the one-dimensional ones."""
        return {"mask_token"}

    def adapt(self, state: Mapping[str, Tensor], image_px: tuple[int, int] | None = None) -> dict[str, Tensor]:
        """Fit a state of this class, saved for `image_px` (None: a square), to this instance."""
        return dict(state)
