"""What Swin and SwinV2 share: stages of window attention with mask tokens, for pre-training and transfer.

Shapes: b images, h w tokens, d channels (twice as many after each stage).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar

import torch
from timm.layers import trunc_normal_
from torch import Tensor, nn

from simmim.encoders._encoder import Encoder, check_drop_path
from simmim.layers.attention_heads import check_stages


def _set_blocks(blocks: Iterable[nn.Module], block: type[nn.Module], shifted: bool) -> None:
    """Let timm's blocks pad first; where one window takes the whole map, nothing is shifted."""
    for each in blocks:
        each.__class__ = block
        if not shifted:
            each.shift_size = (0, 0)


class WindowedEncoder(Encoder):
    """Hierarchical encoder: one stage per entry of `depths`, halving the tokens between stages.

    Args:
        body: timm's class whose embedding, stages and final norm are taken over.
        block: class of the blocks that replaces timm's, with the same parameters.
        body_settings: passed on to `body` beside those below.

    The rest is documented where users write it, in `Swin` and `SwinV2`.
    """

    transfer_settings: ClassVar[frozenset[str]] = frozenset(
        {"window", "drop_path", "clamp_window", "checkpoint_activations"}
    )

    def __init__(
        self,
        body: type[nn.Module],
        block: type[nn.Module],
        *,
        image_px: tuple[int, int],
        in_channels: int,
        patch_px: int,
        embed_dim: int,
        depths: Sequence[int],
        num_heads: Sequence[int],
        window: int,
        mlp_ratio: float,
        drop_path: float,
        clamp_window: bool,
        checkpoint_activations: bool,
        **body_settings: Any,
    ) -> None:
        super().__init__()
        check_stages("encoder", embed_dim, depths, num_heads)
        check_drop_path(drop_path)
        self.image_px, self._depths = tuple(image_px), tuple(depths)
        merged = 2 ** (len(depths) - 1)
        self.token, self.stride, self.width = patch_px, patch_px * merged, embed_dim * merged
        self.depth = sum(depths)
        self.levels = [(embed_dim * 2**stage, patch_px * 2**stage) for stage in range(len(depths))]
        sides = stage_sides(self.image_px, patch_px, len(depths))
        self._clamped = clamp_window and any(side <= window for side in sides)
        made = body(
            img_size=self.image_px,
            patch_size=patch_px,
            in_chans=in_channels,
            num_classes=0,
            embed_dim=embed_dim,
            depths=tuple(depths),
            num_heads=tuple(num_heads),
            window_size=tuple((side, side) for side in stage_windows(sides, window, clamp_window)),
            always_partition=True,  # windows are decided here, by the released rule
            strict_img_size=False,
            mlp_ratio=mlp_ratio,
            drop_path_rate=drop_path,
            **body_settings,
        )
        self.patch_embed, self.layers, self.norm = made.patch_embed, made.layers, made.norm
        self.patch_embed.dynamic_img_pad = True
        self.mask_token = nn.Parameter(torch.zeros(1, 1, embed_dim))
        trunc_normal_(self.mask_token, std=0.02)
        for stage, side in zip(self.layers, sides):
            stage.grad_checkpointing = checkpoint_activations
            _set_blocks(stage.blocks, block, shifted=not (clamp_window and side <= window))

    def forward(self, images: Tensor, hidden: Tensor | None = None) -> Tensor:
        """Encode images; tokens that `hidden` marks are replaced by the mask token after patch embedding.

        Args:
            images: [b, in_channels, H, W], normalised.
            hidden: bool [b, H / token, W / token], True = hidden.

        Returns:
            [b, width, H / stride, W / stride], after the final norm.
        """
        x = self._tokens(images, hidden)
        for stage in self.layers:
            x = stage(x)
        return self.norm(x).permute(0, 3, 1, 2)  # [b, d, h, w]

    @property
    def any_size(self) -> bool:
        """Whether inputs of any height and width are taken; otherwise of `image_px` only."""
        return not self._clamped

    def block_features(self, images: Tensor, hidden: Tensor | None = None) -> list[Tensor]:
        """Output of every block averaged over its tokens, hidden or not: `depth` tensors [b, d of its stage]."""
        return [x.mean(dim=(1, 2)) for x in self._block_outputs(images, hidden)]

    def block_maps(self, images: Tensor, hidden: Tensor | None = None) -> Iterator[Tensor]:
        """Output of every block as a map [b, d, h, w] of its stage, one after another; `hidden` as in `forward`."""
        return (x.permute(0, 3, 1, 2) for x in self._block_outputs(images, hidden))

    def feature_maps(self, images: Tensor) -> list[Tensor]:
        """Output of every stage, un-normalised, finest first: [b, channels, ~H / stride, ~W / stride] per level.

        Sizes that the token or a merge does not divide are padded at the right and bottom.
        """
        x, maps = self._tokens(images, None), []
        for stage in self.layers:
            x = stage(x)
            maps.append(x.permute(0, 3, 1, 2))
        return maps

    def layer_of(self, parameter_name: str) -> int:
        """Layer for layer-wise learning-rate decay: 0 the embedding, 1 ... depth the blocks, depth + 1 the rest.

        A merge belongs to the last block before it and the final norm to the top, as released (timm differs).
        """
        if parameter_name.startswith(("patch_embed.", "mask_token")):
            return 0
        found = re.match(r"layers\.(\d+)\.(?:blocks\.(\d+)|downsample)\.", parameter_name)
        if not found:
            return self.depth + 1
        before = sum(self._depths[: int(found[1])])
        return before if found[2] is None else before + int(found[2]) + 1

    def stem_parameters(self) -> set[str]:
        """Names of the parameters that an image meets before the mask tokens."""
        return self.names_below("patch_embed")

    def unmapped_parameters(self) -> set[str]:
        """Names of the parameters that no map of `feature_maps` depends on: nothing is hidden there, nor normalised."""
        return {"mask_token"} | self.names_below("norm")

    def no_weight_decay(self, pretraining: bool = False) -> set[str]:
        """Names without weight decay beside the one-dimensional ones.

        The paper is silent, so this is what takes effect in the released code: all that makes up the position bias
        (and SwinV2's logit scale) decays in pre-training (there its exception for them misses their names), in
        transfer it does not.
        """
        kept = {name for name, _ in self.named_parameters() if any(part in name for part in self._undecayed)}
        return {"mask_token"} | (set() if pretraining else kept)

    _undecayed: ClassVar[tuple[str, ...]] = ()

    def _tokens(self, images: Tensor, hidden: Tensor | None) -> Tensor:
        if not self.any_size and tuple(images.shape[-2:]) != self.image_px:
            raise ValueError(
                f"this {type(self).__name__} has windows clamped to {self.image_px[0]} x {self.image_px[1]} px, the "
                f"input has {images.shape[-2]} x {images.shape[-1]} px; build it for that size or with "
                "clamp_window=False"
            )
        x = self.patch_embed(images)  # [b, h, w, d]
        if hidden is None:
            return x
        assert hidden.shape == x.shape[:3], f"mask {tuple(hidden.shape)} does not fit tokens {tuple(x.shape[:3])}"
        return torch.where(hidden[..., None], self.mask_token.to(x.dtype), x)

    def _block_outputs(self, images: Tensor, hidden: Tensor | None) -> Iterator[Tensor]:
        x = self._tokens(images, hidden)
        for stage in self.layers:
            x = stage.downsample(x)
            for block in stage.blocks:
                x = block(x)
                yield x


def stage_windows(sides: Sequence[int], window: int, clamp_window: bool) -> list[int]:
    """Side of the attention window in every stage, in tokens."""
    return [min(window, side) if clamp_window else window for side in sides]


def stage_sides(image_px: tuple[int, int], patch_px: int, stages: int) -> list[int]:
    """Shorter side of the token grid in every stage."""
    shorter = min(math.ceil(side / patch_px) for side in image_px)
    return [math.ceil(shorter / 2**stage) for stage in range(stages)]
