"""SwinV2 with mask tokens (section 4.1, Table 8; Liu et al., 2111.09883): cosine attention, norms after the branches.

Shapes: b images, h w tokens, n tokens of a window, d channels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from timm.models.swin_transformer_v2 import SwinTransformerV2, SwinTransformerV2Block, WindowAttention
from torch import Tensor, nn

from simmim.encoders._windowed import WindowedEncoder
from simmim.layers.swin_blocks import PadFirst


class SwinV2(WindowedEncoder):
    """Hierarchical encoder whose position bias is a function of distance, so that windows change without resizing.

    SwinV2-B, -H and -G differ in `embed_dim` (128, 352, 512), `depths` (2, 2, 18, 2; G: 2, 2, 42, 4), `num_heads`
    (`embed_dim` / 32, doubled in every stage) and `main_norm_every` (0, 6, 6). For G a last stage of two blocks is
    often printed; it makes 2.6 B parameters, four make the 3.0 B that are published everywhere.

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
            False is the dense form: full windows, always shifted, padded where they do not fit, any size.
        pretrained_windows: window of each stage that distances are measured by, those of the pre-training; empty for
            the stage's own. Loading an encoder keeps what it was pre-trained with.
        main_norm_every: one more LayerNorm after every that many blocks of a stage, 0 for none.
        checkpoint_activations: keep only the input of every block and compute the rest again for the gradient.
    """

    transfer_settings = WindowedEncoder.transfer_settings | {"pretrained_windows"}
    _undecayed = ".cpb_mlp.", ".logit_scale"

    def __init__(
        self,
        *,
        image_px: tuple[int, int],
        in_channels: int = 3,
        patch_px: int = 4,
        embed_dim: int = 128,
        depths: Sequence[int] = (2, 2, 18, 2),
        num_heads: Sequence[int] = (4, 8, 16, 32),
        window: int = 12,
        mlp_ratio: float = 4.0,
        drop_path: float = 0.0,
        clamp_window: bool = True,
        pretrained_windows: Sequence[int] = (),
        main_norm_every: int = 0,
        checkpoint_activations: bool = False,
    ) -> None:
        if pretrained_windows and len(pretrained_windows) != len(depths):
            raise ValueError(
                f"pretrained_windows {list(pretrained_windows)} must be empty or name a window for each of the "
                f"{len(depths)} stages"
            )
        super().__init__(
            SwinTransformerV2,
            _Block,
            image_px=image_px,
            in_channels=in_channels,
            patch_px=patch_px,
            embed_dim=embed_dim,
            depths=depths,
            num_heads=num_heads,
            window=window,
            mlp_ratio=mlp_ratio,
            drop_path=drop_path,
            clamp_window=clamp_window,
            checkpoint_activations=checkpoint_activations,
            pretrained_window_sizes=tuple(pretrained_windows) or (0,) * len(depths),
        )
        for stage in self.layers:
            for number, block in enumerate(stage.blocks, start=1):
                block.attn.__class__ = _CosineAttention
                if main_norm_every and number % main_norm_every == 0:
                    block.norm3 = nn.LayerNorm(block.dim)

    @property
    def kept_settings(self) -> dict[str, list[int]]:
        """Settings that a transfer must not derive anew from its own window and input size."""
        first = [stage.blocks[0] for stage in self.layers]
        return {"pretrained_windows": [max(b.attn.pretrained_window_size[0], 0) or b.window_size[0] for b in first]}


class _Block(PadFirst, SwinTransformerV2Block):
    """timm's block that pads first, with the extra norm on the main branch where it has one (`norm3`)."""

    def forward(self, x: Tensor) -> Tensor:
        x = super().forward(x)
        return self.norm3(x) if hasattr(self, "norm3") else x


class _CosineAttention(WindowAttention):
    """timm's parameters and distances; the limit of the logit scale is ln 100 in float32, as released.

    The log-spaced coordinates are float32 too, whatever the weights are cast to.
    """

    _LARGEST_LOGIT_SCALE = float(np.float32(math.log(100)))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        bias = torch.cat((self.q_bias, torch.zeros_like(self.q_bias), self.v_bias))
        query, key, value = (
            F.linear(x, self.qkv.weight, bias).unflatten(2, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        )  # each [b * windows, heads, n, d / heads]
        scale = self.logit_scale.clamp(max=self._LARGEST_LOGIT_SCALE).exp()
        scores = F.normalize(query, dim=-1) @ F.normalize(key, dim=-1).transpose(-2, -1) * scale
        scores = scores + self._position_bias()  # [b * windows, heads, n, n]
        if mask is not None:
            scores = (scores.unflatten(0, (-1, len(mask))) + mask[:, None]).flatten(0, 1)
        return self.proj((scores.softmax(dim=-1) @ value).transpose(1, 2).flatten(2))

    def _position_bias(self) -> Tensor:
        """[heads, n, n], between 0 and 16."""
        table = self.cpb_mlp(self.relative_coords_table).flatten(0, 2)  # [(2 window - 1)^2, heads]
        return 16 * table[self.relative_position_index].permute(2, 0, 1).sigmoid()
