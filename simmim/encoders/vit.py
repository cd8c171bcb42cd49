"""Vision Transformer with mask tokens in BEiT's form (section 3.1; relative position bias, layer scale).

Shapes: b images, h w tokens, n = h * w, d channels.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Iterator, Mapping
from typing import ClassVar

import torch
import torch.nn.functional as F
from timm.models.beit import Beit
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from simmim.encoders._encoder import Encoder, check_drop_path
from simmim.encoders._position_bias import CLASS_ROWS, TABLE, resize_table, square_side
from simmim.layers.attention_heads import check_heads
from simmim.layers.plain_pyramid import pyramid, pyramid_levels

_SHARED_TABLE = f"rel_pos_bias.{TABLE}"


class ViT(Encoder):
    """Plain encoder: all blocks at one resolution, a class token that is never hidden.

    Args:
        image_px: height and width; smaller inputs are taken too where all blocks share one position table.
        in_channels: channels of the input, any number.
        patch_px: side of one token in pixels.
        embed_dim: channels.
        depth: number of blocks.
        num_heads: attention heads.
        mlp_ratio: hidden channels of the MLP over its channels.
        drop_path: stochastic depth of the last block; grows linearly from 0 at the first.
        layer_scale: start value of the learnt scale of every residual branch.
        shared_bias: one position table for all blocks (pre-training) or one per block (transfer).
        final_norm: LayerNorm after the last block (pre-training). Without it (fine-tuning) `forward` returns the last
            block's tokens as they are and the classifier brings its own norm after pooling.
        checkpoint_activations: keep only the input of every block and compute the rest again for the gradient.
    """

    transfer_settings: ClassVar[frozenset[str]] = frozenset(
        {"drop_path", "shared_bias", "final_norm", "checkpoint_activations"}
    )
    # Not of any size: position tables belong to a grid, and the encoder is built for the size that comes.

    def __init__(
        self,
        *,
        image_px: tuple[int, int],
        in_channels: int = 3,
        patch_px: int = 16,
        embed_dim: int = 768,
        depth: int = 12,
        num_heads: int = 12,
        mlp_ratio: float = 4.0,
        drop_path: float = 0.0,
        layer_scale: float = 0.1,
        shared_bias: bool = True,
        final_norm: bool = True,
        checkpoint_activations: bool = False,
    ) -> None:
        super().__init__()
        if any(side % patch_px for side in image_px):
            raise ValueError(f"image_px {tuple(image_px)} must be a multiple of patch_px {patch_px}")
        check_heads("encoder.num_heads", num_heads, embed_dim)
        check_drop_path(drop_path)
        self.image_px = tuple(image_px)
        self.token = self.stride = patch_px
        self.width, self.depth = embed_dim, depth
        self.shared_bias, self.final_norm, self._checkpointing = shared_bias, final_norm, checkpoint_activations
        self._grid = self.image_px[0] // patch_px, self.image_px[1] // patch_px
        body = Beit(
            img_size=self.image_px,
            patch_size=patch_px,
            in_chans=in_channels,
            num_classes=0,
            embed_dim=embed_dim,
            depth=depth,
            num_heads=num_heads,
            mlp_ratio=mlp_ratio,
            drop_path_rate=drop_path,
            norm_layer=functools.partial(nn.LayerNorm, eps=1e-6),
            init_values=layer_scale,
            use_abs_pos_emb=False,
            use_rel_pos_bias=not shared_bias,
            use_shared_rel_pos_bias=shared_bias,
            use_fc_norm=not final_norm,
        )
        self.patch_embed, self.cls_token = body.patch_embed, body.cls_token
        self.patch_embed.strict_img_size = False  # sizes are checked here
        self.mask_token = nn.Parameter(torch.zeros(1, 1, embed_dim))
        self.rel_pos_bias, self.blocks, self.norm = body.rel_pos_bias, body.blocks, body.norm
        for block in self.blocks:  # with a learnt bias, CPUs' fused kernel is slow: a fifth of the whole step
            block.attn.fused_attn = torch.cuda.is_available()
        self._initialise()

    @property
    def levels(self) -> list[tuple[int, int]]:
        """Channels and stride of every map of `feature_maps`."""
        return pyramid_levels(self.width, self.token)

    def takes(self, image_px: tuple[int, int]) -> bool:
        """Its own size, and where all blocks share one position table any whole number of tokens that lies inside."""
        inside = all(side % self.token == 0 and 0 < side <= limit for side, limit in zip(image_px, self.image_px))
        return tuple(image_px) == self.image_px or (inside and self.shared_bias)

    def forward(self, images: Tensor, hidden: Tensor | None = None) -> Tensor:
        """Encode images; tokens that `hidden` marks are replaced by the mask token after patch embedding.

        Args:
            images: [b, in_channels, *image_px], normalised; smaller ones (the local crops of DINO) use the part of the
                position table that holds their offsets.
            hidden: bool [b, h, w], True = hidden.

        Returns:
            [b, width, h, w]; after the final norm where the encoder has one.
        """
        for x in self._block_outputs(images, hidden):  # noqa: B007 - the last one; a list would hold all
            pass
        return self._as_map(self.norm(x), images)

    def block_features(self, images: Tensor, hidden: Tensor | None = None) -> list[Tensor]:
        """Output of every block averaged over its patch tokens, hidden or not: `depth` tensors [b, width]."""
        return [x[:, 1:].mean(dim=1) for x in self._block_outputs(images, hidden)]

    def block_maps(self, images: Tensor, hidden: Tensor | None = None) -> Iterator[Tensor]:
        """Patch tokens of every block as a map [b, width, h, w], one after another; `hidden` as in `forward`."""
        return (self._as_map(x, images) for x in self._block_outputs(images, hidden))

    def feature_maps(self, images: Tensor) -> list[Tensor]:
        """Four maps [b, width, H / stride, W / stride], finest first, un-normalised (`simmim.layers.plain_pyramid`)."""
        return pyramid(self.block_maps(images), self.depth)

    def layer_of(self, parameter_name: str) -> int:
        """Layer for layer-wise learning-rate decay: 0 the embedding, 1 ... depth the blocks, depth + 1 the rest."""
        if parameter_name.startswith(("patch_embed.", "mask_token", "cls_token")):
            return 0
        found = re.match(r"blocks\.(\d+)\.", parameter_name)
        return int(found[1]) + 1 if found else self.depth + 1

    def stem_parameters(self) -> set[str]:
        """Names of the parameters that an image meets before the mask tokens."""
        return self.names_below("patch_embed")

    def unmapped_parameters(self) -> set[str]:
        """Names of the parameters that no map of `feature_maps` depends on: nothing is hidden there, nor normalised."""
        return {"mask_token"} | self.names_below("norm")

    def no_weight_decay(self, pretraining: bool = False) -> set[str]:
        """Names without weight decay beside the one-dimensional ones: as released only the class token, so position
        tables and, in pre-training, the mask token decay."""
        return {"cls_token"}

    def adapt(self, state: Mapping[str, Tensor], image_px: tuple[int, int] | None = None) -> dict[str, Tensor]:
        """Fit a state of this class, saved for `image_px` (None: a square), to this instance.

        Position tables are resized, a shared one is copied to every block where this instance has one per block, and
        the final norm is left out where this instance has none.
        """
        adapted = {name: value for name, value in state.items() if self.final_norm or not name.startswith("norm.")}
        for name in [name for name in adapted if name.endswith(TABLE)]:
            adapted[name] = self._fit(adapted[name], image_px)
        if not self.shared_bias and _SHARED_TABLE in adapted:
            shared = adapted.pop(_SHARED_TABLE)
            adapted |= {f"blocks.{index}.attn.{TABLE}": shared.clone() for index in range(self.depth)}
        return adapted

    def _fit(self, table: Tensor, image_px: tuple[int, int] | None) -> Tensor:
        if image_px is None:
            side = square_side(len(table), CLASS_ROWS)
            return resize_table(table, (side, side), self._grid, CLASS_ROWS)
        return resize_table(table, (image_px[0] // self.token, image_px[1] // self.token), self._grid, CLASS_ROWS)

    def _block_outputs(self, images: Tensor, hidden: Tensor | None = None) -> Iterator[Tensor]:
        """Tokens [b, 1 + n, d] after every block, the class token first."""
        grid = self._grid_of(images)
        x = self.patch_embed(images)  # [b, n, d]
        if hidden is not None:
            assert hidden.shape[1:] == grid, f"mask {tuple(hidden.shape)} does not fit {grid} tokens"
            x = torch.where(hidden.flatten(1)[..., None], self.mask_token.to(x.dtype), x)
        x = torch.cat([self.cls_token.expand(x.shape[0], -1, -1), x], dim=1)  # [b, 1 + n, d]
        bias = self._bias(grid) if self.shared_bias else None
        for block in self.blocks:
            if self._checkpointing and torch.is_grad_enabled():
                x = checkpoint(block, x, shared_rel_pos_bias=bias, use_reentrant=False)
            else:
                x = block(x, shared_rel_pos_bias=bias)
            yield x

    def _grid_of(self, images: Tensor) -> tuple[int, int]:
        """Rows and columns of an input's tokens."""
        given = tuple(images.shape[-2:])
        if not self.takes(given):
            raise ValueError(
                f"this ViT has {'a position table' if self.shared_bias else 'position tables'} for {self.image_px[0]} "
                f"x {self.image_px[1]} px, the input has {given[0]} x {given[1]} px; build it for that size"
            )
        return given[0] // self.token, given[1] // self.token

    def _bias(self, grid: tuple[int, int]) -> Tensor:
        """The shared bias of a grid of tokens behind the class token, [heads, 1 + n, 1 + n]."""
        bias = self.rel_pos_bias()
        if grid == self._grid:
            return bias
        numbers = torch.arange(1, bias.shape[-1], device=bias.device).view(self._grid)
        kept = F.pad(numbers[: grid[0], : grid[1]].flatten(), (1, 0))  # offsets do not depend on which corner is taken
        return bias[:, kept][:, :, kept]

    def _as_map(self, x: Tensor, images: Tensor) -> Tensor:
        return x[:, 1:].transpose(1, 2).unflatten(2, self._grid_of(images))  # [b, d, h, w]

    def _initialise(self) -> None:
        """Released start values: normal of 0.02 cut at one standard deviation, residual outputs shrunk with depth."""
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Conv2d):
                _cut_normal(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        _cut_normal(self.cls_token)
        _cut_normal(self.mask_token)
        with torch.no_grad():
            for number, block in enumerate(self.blocks, start=1):
                block.attn.proj.weight /= math.sqrt(2 * number)
                block.mlp.fc2.weight /= math.sqrt(2 * number)


def _cut_normal(weight: Tensor, std: float = 0.02) -> None:
    nn.init.trunc_normal_(weight, std=std, a=-std, b=std)
