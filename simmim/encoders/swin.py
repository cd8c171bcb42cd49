"""Swin Transformer with mask tokens (section 3.1), one class for pre-training and every transfer task.

Shapes: b images, h w tokens, d channels (twice as many after each stage).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

import torch
from timm.layers import trunc_normal_
from timm.models.swin_transformer import SwinTransformer
from torch import Tensor, nn

from simmim.encoders._position_bias import resize_table, square_side
from simmim.swin_blocks import PadFirstBlock

_TABLE = "relative_position_bias_table"


class Swin(nn.Module):
    """Hierarchical encoder: one stage per entry of `depths`, halving the tokens between stages.

    Args:
        image_px: height and width the windows are laid out for.
        in_channels: channels of the input, any number.
        patch_px: side of one token in pixels.
        embed_dim: channels of the first stage.
        depths: blocks of each stage.
        num_heads: attention heads of each stage.
        window: side of an attention window in tokens.
        mlp_ratio: hidden channels of the MLP over its channels.
        drop_path: stochastic depth of the last block; grows linearly from 0 at the first.
        clamp_window: as released for pre-training and classification: a stage whose shorter side is at most the
            window attends in windows of that side, without shift, and only `image_px` is accepted as input then.
            False is the published dense form: full windows, always shifted, padded where they do not fit, any size.
    """

    transfer_settings: ClassVar[frozenset[str]] = frozenset({"window", "drop_path", "clamp_window"})
    final_norm = True

    def __init__(
        self,
        *,
        image_px: tuple[int, int],
        in_channels: int = 3,
        patch_px: int = 4,
        embed_dim: int = 128,
        depths: Sequence[int] = (2, 2, 18, 2),
        num_heads: Sequence[int] = (4, 8, 16, 32),
        window: int = 6,
        mlp_ratio: float = 4.0,
        drop_path: float = 0.0,
        clamp_window: bool = True,
    ) -> None:
        super().__init__()
        if len(depths) != len(num_heads):
            raise ValueError(f"depths {list(depths)} and num_heads {list(num_heads)} must name the same stages")
        self.image_px = tuple(image_px)
        self._depths = tuple(depths)
        self.token = patch_px
        self.stride = patch_px * 2 ** (len(depths) - 1)
        self.width = embed_dim * 2 ** (len(depths) - 1)
        self.depth = sum(depths)
        self.levels = [(embed_dim * 2**stage, patch_px * 2**stage) for stage in range(len(depths))]
        sides = _stage_sides(self.image_px, patch_px, len(depths))
        windows = [min(window, side) if clamp_window else window for side in sides]
        self._clamped = clamp_window and any(side <= window for side in sides)
        body = SwinTransformer(
            img_size=self.image_px,
            patch_size=patch_px,
            in_chans=in_channels,
            num_classes=0,
            embed_dim=embed_dim,
            depths=tuple(depths),
            num_heads=tuple(num_heads),
            window_size=tuple((side, side) for side in windows),
            always_partition=True,  # windows are decided above, by the released rule
            strict_img_size=False,
            mlp_ratio=mlp_ratio,
            drop_path_rate=drop_path,
        )
        self.patch_embed, self.layers, self.norm = body.patch_embed, body.layers, body.norm
        self.patch_embed.dynamic_img_pad = True
        self.mask_token = nn.Parameter(torch.zeros(1, 1, embed_dim))
        trunc_normal_(self.mask_token, std=0.02)
        for stage, side in zip(self.layers, sides):
            for block in stage.blocks:
                block.__class__ = PadFirstBlock
                if clamp_window and side <= window:
                    block.shift_size = (0, 0)

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

    def block_features(self, images: Tensor) -> list[Tensor]:
        """Output of every block averaged over its tokens: `depth` tensors [b, d of the block's stage]."""
        return [x.mean(dim=(1, 2)) for x in self._block_outputs(images)]

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

    def no_weight_decay(self, pretraining: bool = False) -> set[str]:
        """Names without weight decay beside the one-dimensional ones.

        The paper is silent, so this is what takes effect in the released code: position tables decay in pre-training
        (there its exception for them misses their names), in transfer they do not.
        """
        tables = {name for name, _ in self.named_parameters() if name.endswith(_TABLE)}
        return {"mask_token"} | (set() if pretraining else tables)

    def adapt(self, state: Mapping[str, Tensor], image_px: tuple[int, int] | None = None) -> dict[str, Tensor]:
        """Fit a state of this class to this instance's windows; `image_px` of the source is not needed."""
        adapted = dict(state)
        for name, own in self.state_dict().items():
            if name.endswith(_TABLE) and name in adapted and adapted[name].shape != own.shape:
                source, target = square_side(len(adapted[name])), square_side(len(own))
                adapted[name] = resize_table(adapted[name], (source, source), (target, target))
        return adapted

    def _tokens(self, images: Tensor, hidden: Tensor | None) -> Tensor:
        if self._clamped and tuple(images.shape[-2:]) != self.image_px:
            raise ValueError(
                f"this Swin has windows clamped to {self.image_px[0]} x {self.image_px[1]} px, the input has "
                f"{images.shape[-2]} x {images.shape[-1]} px; build it for that size or with clamp_window=False"
            )
        x = self.patch_embed(images)  # [b, h, w, d]
        if hidden is None:
            return x
        assert hidden.shape == x.shape[:3], f"mask {tuple(hidden.shape)} does not fit tokens {tuple(x.shape[:3])}"
        return torch.where(hidden[..., None], self.mask_token.to(x.dtype), x)

    def _block_outputs(self, images: Tensor) -> Iterator[Tensor]:
        x = self._tokens(images, None)
        for stage in self.layers:
            x = stage.downsample(x)
            for block in stage.blocks:
                x = block(x)
                yield x


def _stage_sides(image_px: tuple[int, int], patch_px: int, stages: int) -> list[int]:
    """Shorter side of the token grid in every stage."""
    shorter = min(math.ceil(side / patch_px) for side in image_px)
    return [math.ceil(shorter / 2**stage) for stage in range(stages)]
