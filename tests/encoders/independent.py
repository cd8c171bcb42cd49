"""torchvision's Swin and SwinV2, written independently of timm's, with the weights of one of our encoders."""

from __future__ import annotations

import math
import re
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.swin_transformer import (
    PatchMerging,
    PatchMergingV2,
    ShiftedWindowAttention,
    SwinTransformer,
    SwinTransformerBlock,
    SwinTransformerBlockV2,
)

from simmim.encoders._windowed import WindowedEncoder
from simmim.encoders.swin_v2 import SwinV2

_V1 = {"block": SwinTransformerBlock, "downsample_layer": PatchMerging}
_V2 = {"block": SwinTransformerBlockV2, "downsample_layer": PatchMergingV2}


@torch.no_grad()
def independent_maps(encoder: WindowedEncoder, window: int, images: Tensor) -> list[Tensor]:
    """Output of every stage, [b, d, h, w] each, of the dense form; SwinV2 without norms on the main branch."""
    first = encoder.layers[0].blocks[0]
    heads = [stage.blocks[0].attn.num_heads for stage in encoder.layers]
    other = SwinTransformer(
        [encoder.token] * 2,
        first.norm1.normalized_shape[0],
        [len(stage.blocks) for stage in encoder.layers],
        heads,
        [window, window],
        stochastic_depth_prob=0.0,
        norm_layer=partial(nn.LayerNorm, eps=1e-5),
        **(_V2 if isinstance(encoder, SwinV2) else _V1),
    ).eval()
    missing, unexpected = other.load_state_dict(_renamed(encoder.state_dict()), strict=False)
    buffers = "relative_position_index", "relative_coords_table"
    assert not unexpected and all(name.startswith("head.") or name.endswith(buffers) for name in missing)
    height, width = images.shape[2:]
    x, maps = F.pad(images, (0, -width % encoder.token, 0, -height % encoder.token)), []
    for index, part in enumerate(other.features.to(images)):
        if index % 2:
            for block in part[1::2]:
                _split_lone_windows(block.attn, x.shape[1:3])
        x = part(x)
        if index % 2:
            maps.append(x.permute(0, 3, 1, 2))
    return maps


def _renamed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Our names -> torchvision's, which keeps one bias for query, key and value."""
    renamed = {}
    for name, value in state.items():
        name = re.sub(r"^patch_embed\.proj", "features.0.0", name)
        name = re.sub(r"^patch_embed\.norm", "features.0.2", name)
        name = re.sub(r"^layers\.(\d)\.downsample", lambda found: f"features.{2 * int(found[1])}", name)
        name = re.sub(r"^layers\.(\d)\.blocks", lambda found: f"features.{2 * int(found[1]) + 1}", name)
        renamed[name.replace("mlp.fc1", "mlp.0").replace("mlp.fc2", "mlp.3")] = value
    renamed.pop("mask_token")
    for name in [name for name in renamed if name.endswith("q_bias")]:
        query, value = renamed.pop(name), renamed.pop(name.replace("q_bias", "v_bias"))
        renamed[name.replace("q_bias", "qkv.bias")] = torch.cat((query, torch.zeros_like(query), value))
    return renamed


def _split_lone_windows(attention: ShiftedWindowAttention, sides: tuple[int, int]) -> None:
    """Shift along an axis that a single window covers, which torchvision leaves out and the published form does not.

    Shifted by half its side, one window falls into two halves that do not see each other: unshifted windows of half
    the side, with the offsets that occur in them.
    """
    lone = [side <= window for side, window in zip(sides, attention.window_size)]
    if not any(lone):
        return
    assert all(window % 2 == 0 for window in attention.window_size), "an odd window has no halves"
    old = [2 * window - 1 for window in attention.window_size]
    attention.window_size = [window // 2 if alone else window for window, alone in zip(attention.window_size, lone)]
    attention.shift_size = [0 if alone else shift for shift, alone in zip(attention.shift_size, lone)]
    new = [2 * window - 1 for window in attention.window_size]
    kept = tuple(slice((had - has) // 2, (had + has) // 2) for had, has in zip(old, new))
    for name in ("relative_position_bias_table", "relative_coords_table"):  # of Swin, of SwinV2
        table = getattr(attention, name, None)
        if table is not None:
            cut = table.detach().reshape(*old, -1)[kept]
            shape = (math.prod(new), -1) if table.ndim == 2 else (1, *new, 2)
            setattr(attention, name, nn.Parameter(cut.reshape(shape)) if table.ndim == 2 else cut.reshape(shape))
    attention.define_relative_position_index()
