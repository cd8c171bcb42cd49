"""The tables that released models store beside their weights, computed from window and input size.

Shapes: n tokens of a window (for the ViT of the grid, plus the class token).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from simmim.layers.swin_blocks import shift_mask

_STORED = "relative_position_index", "relative_coords_table"


def released_buffers(encoder: nn.Module) -> dict[str, Tensor]:
    """Every table that the released code stores for this encoder, under our names and with the encoder's values.

    `relative_position_index` int64 [n, n], SwinV2's `relative_coords_table` [1, 2 w - 1, 2 w - 1, 2], and the
    `attn_mask` [windows, n, n] of shifted blocks for the encoder's `image_px`.
    """
    stored = {name: value for name, value in encoder.named_buffers() if name.endswith(_STORED)}
    for stage, layer in enumerate(getattr(encoder, "layers", ())):
        tokens = [side // encoder.token // 2**stage for side in encoder.image_px]
        for number, block in enumerate(layer.blocks):
            if any(block.shift_size):
                mask = shift_mask(*tokens, block.window_size, block.shift_size, torch.float32, torch.device("cpu"))
                stored[f"layers.{stage}.blocks.{number}.attn_mask"] = mask + 0.0  # no negative zeros
    return stored
