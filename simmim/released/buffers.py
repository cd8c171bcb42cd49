"""The tables that released models store beside their weights, made anew: they follow from window and input size.

Shapes: n tokens of a window (for the ViT of the grid, plus the class token).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

_STORED = "relative_position_index", "relative_coords_table"
_APART = -100.0


def released_buffers(encoder: nn.Module) -> dict[str, Tensor]:
    """Every buffer that the released code stores for this encoder, by our name.

    `relative_position_index` int64 [n, n] and SwinV2's `relative_coords_table` [1, 2 w - 1, 2 w - 1, 2] are those the
    encoder computes with; `attn_mask` [windows, n, n] exists for shifted blocks and is stored for the encoder's
    `image_px`.
    """
    stored = {name: value for name, value in encoder.named_buffers() if name.endswith(_STORED)}
    grid = [side // encoder.token for side in encoder.image_px]
    for stage_index, stage in enumerate(getattr(encoder, "layers", ())):
        rows, columns = (side // 2**stage_index for side in grid)
        for block_index, block in enumerate(stage.blocks):
            if any(block.shift_size):
                mask = _shift_mask(rows, columns, block.window_size[0], block.shift_size[0])
                stored[f"layers.{stage_index}.blocks.{block_index}.attn_mask"] = mask
    return stored


def _shift_mask(rows: int, columns: int, window: int, shift: int) -> Tensor:
    """[windows, n, n]: -100 between tokens of a window that were not neighbours before the cyclic shift."""
    row, column = (torch.arange(length).roll(-shift) < shift for length in (rows, columns))  # came round the edge
    origin = 2 * row[:, None].long() + column[None]  # [rows, columns]
    windows = origin.unfold(0, window, window).unfold(1, window, window).reshape(-1, window * window)  # [windows, n]
    apart = windows[:, None] != windows[:, :, None]
    return torch.where(apart, _APART, 0.0)
