"""A Swin Transformer turned upside down as prediction head (section 3.3, Table 2).

Shapes: b images, h w cells of a stage, d channels of a stage (half as many after each stage), r up-sampling factor.
"""

from __future__ import annotations

from collections.abc import Sequence

from timm.layers import trunc_normal_
from torch import Tensor, nn

from simmim.layers.attention_heads import check_stages
from simmim.layers.swin_blocks import PadFirstBlock


class InverseSwin(nn.Module):
    """Swin's stages from the coarsest to the finest, with patch splitting between them where Swin merges patches.

    The paper names this head and does not say how it is built. Here:

    1. A 1x1 convolution takes the encoder's width to that of the coarsest stage, embed_dim * 2^(stages - 1).
    2. The stages run in reverse order. Each splits its patches at its end: a linear layer to 4 times half the
       channels, laid out as 2 x 2 cells, then a LayerNorm; the mirror image of Swin's norm and merge.
    3. The finest stage splits its patches to single pixels, as Swin's patch embedding would run backwards, and keeps
       its channels: a linear layer to r^2 times the channels, laid out as r x r, then a LayerNorm.
    4. A 1x1 convolution makes the target's channels.

    Splitting is Swin-Unet's (Cao et al., 2105.05537). With it Swin-B at 192 px has the published 115.2 M and 174.8 M
    parameters; predicting pixels from the finest stage by one projection, without 3, would give 115.0 M and 174.5 M.

    A `stride` that halves fewer times than there are stages to split, because the target is small, uses that many and
    leaves the finest out: all four for 32, 16 and 8, three for 4 and 12, two for 2. What is left for 3 is then
    `stride` over 2 for each split.

    Args:
        width: channels of the encoder's output.
        stride: target cells per side that one feature stands for.
        channels: channels of the target.
        embed_dim, depths, num_heads: as of the Swin that is inverted, its first (finest) stage first.
        window: side of an attention window in cells. Maps that it does not divide are padded; an axis that fits one
            window is not shifted.
    """

    def __init__(
        self,
        *,
        width: int,
        stride: int,
        channels: int,
        embed_dim: int,
        depths: Sequence[int],
        num_heads: Sequence[int],
        window: int,
    ) -> None:
        super().__init__()
        check_stages("head", embed_dim, depths, num_heads)
        dims = [embed_dim * 2**stage for stage in range(len(depths))]
        halvings = min(len(depths) - 1, _halvings(stride))
        used = range(len(depths) - 1, len(depths) - 2 - halvings, -1)  # coarsest first
        self.projection = nn.Conv2d(width, dims[-1], kernel_size=1)
        self.stages = nn.ModuleList(_stage(dims[stage], depths[stage], num_heads[stage], window) for stage in used)
        finest = dims[used[-1]]
        splits = [_PatchSplit(dims[stage], dims[stage] // 2, 2) for stage in used[:-1]]
        self.splits = nn.ModuleList([*splits, _PatchSplit(finest, finest, stride // 2**halvings)])
        self.prediction = nn.Conv2d(finest, channels, kernel_size=1)
        for module in (*self.stages.modules(), *self.splits.modules()):
            if isinstance(module, nn.Linear):
                _start_as_swin(module)

    def forward(self, features: Tensor) -> Tensor:
        """[b, width, h, w] -> [b, channels, h * stride, w * stride]."""
        x = self.projection(features).permute(0, 2, 3, 1)  # [b, h, w, d]
        for stage, split in zip(self.stages, self.splits):
            x = split(stage(x))
        return self.prediction(x.permute(0, 3, 1, 2))


class _PatchSplit(nn.Module):
    """Linear layer to r x r cells per cell, then LayerNorm: [b, h, w, d] -> [b, h r, w r, out_dim]."""

    def __init__(self, dim: int, out_dim: int, factor: int) -> None:
        super().__init__()
        self.factor = factor
        self.expansion = nn.Linear(dim, factor**2 * out_dim)
        self.norm = nn.LayerNorm(out_dim)

    def forward(self, x: Tensor) -> Tensor:
        cells = self.expansion(x).unflatten(3, (self.factor, self.factor, -1))  # [b, h, w, r, r, out_dim]
        return self.norm(cells.transpose(2, 3).flatten(3, 4).flatten(1, 2))


class _AnySizeBlock(PadFirstBlock):
    """A block that learns the size of its map from the map."""

    def _shift(self, height: int, width: int) -> tuple[int, int]:
        """No shift along an axis that fits one window, which the shift would only cut up."""
        rows, columns = (side > window for side, window in zip((height, width), self.window_size))
        return rows * self.shift_size[0], columns * self.shift_size[1]


def _stage(dim: int, depth: int, heads: int, window: int) -> nn.Sequential:
    """Blocks [b, h, w, d] -> [b, h, w, d], every second one with shifted windows."""
    size = (window, window)
    shifts = [window // 2 * (index % 2) for index in range(depth)]
    options = {"num_heads": heads, "window_size": size, "always_partition": True, "dynamic_mask": True}
    return nn.Sequential(*(_AnySizeBlock(dim, size, shift_size=shift, **options) for shift in shifts))


def _halvings(stride: int) -> int:
    """How often `stride` can be halved without a rest."""
    return (stride & -stride).bit_length() - 1


def _start_as_swin(layer: nn.Linear) -> None:
    trunc_normal_(layer.weight, std=0.02)
    nn.init.zeros_(layer.bias)
