"""Recognises the architecture of a released state from its tensors and checks it against the config in the file."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from simmim import plugin
from simmim.encoders._position_bias import CLASS_ROWS, square_side
from simmim.plugin import Component
from simmim.released.mlp_ratio import agreed_ratio, mlp_ratio

_TABLE = "attn.relative_position_bias_table"
_SHARED_TABLE = "rel_pos_bias.relative_position_bias_table"

# Kind in a released config -> our encoder and the section that describes it; then each setting and its released name.
_CONFIG = {
    "swin": ("swin", "SWIN"),
    "swinv2": ("swin_v2", "SWINV2"),
    "vit": ("vit", "VIT"),
}
_SETTINGS = {
    "patch_px": "PATCH_SIZE",
    "embed_dim": "EMBED_DIM",
    "depths": "DEPTHS",
    "depth": "DEPTH",
    "num_heads": "NUM_HEADS",
    "window": "WINDOW_SIZE",
    "mlp_ratio": "MLP_RATIO",
    "shared_bias": "USE_SHARED_RPB",
    "in_channels": "IN_CHANS",
}


@dataclass(frozen=True)
class Architecture:
    """How to build the encoder of a file.

    Args:
        encoder: its config section.
        image_px: side of the square input it was trained at.
        own_windows: whether nothing tells the windows that a SwinV2 was pre-trained with, and its own stand for them.
    """

    encoder: Mapping[str, Any]
    image_px: int
    in_channels: int
    own_windows: bool = False

    @classmethod
    def of(cls, header: Mapping[str, Any]) -> Architecture:
        """The architecture in an encoder file's header; raises a ValueError if the released code has none such."""
        plugin.check_choice("encoder of the released code", header["encoder"]["name"], _READERS)
        height, width = header["image_px"]
        if height != width:
            raise ValueError(f"the released code takes square images only, this encoder is for {height} x {width} px")
        return cls(header["encoder"], height, header["in_channels"])

    def build(self) -> nn.Module:
        """The encoder with fresh weights, in evaluation mode."""
        size = (self.image_px, self.image_px)
        encoder = plugin.build(
            "encoders", Component(**self.encoder), image_px=size, in_channels=self.in_channels
        ).eval()
        self.check(encoder)
        return encoder

    def check(self, encoder: nn.Module) -> None:
        """Raise a ValueError for an encoder that the released code cannot build: it clamps windows and never pads."""
        if self.encoder.get("clamp_window", True) is not True:
            raise ValueError("the released code clamps its windows, this encoder has clamp_window=False")
        if self.encoder.get("main_norm_every"):
            raise ValueError("the released code has no norms on the main branch, this encoder has main_norm_every")
        if self.image_px % encoder.stride:
            raise ValueError(f"image_px {self.image_px} must be a multiple of {encoder.stride} in the released code")
        for stage, layer in enumerate(getattr(encoder, "layers", ())):
            tokens, window = self.image_px // encoder.token // 2**stage, layer.blocks[0].window_size[0]
            if tokens % window:
                raise ValueError(
                    f"at {self.image_px} px stage {stage + 1} has {tokens} x {tokens} tokens, which windows of "
                    f"{window} do not divide; the released code cannot have this (was it trained at this size?)"
                )


def recognise(
    state: Mapping[str, Tensor], config: Mapping[str, Any], image_px: int | None, window: int | None
) -> Architecture:
    """The architecture of an encoder state by released names, without prefix.

    Args:
        config: the config in the file, {} without one.
        image_px, window: the user's values, used only where neither the tensors nor the config determine them.

    Raises:
        ValueError: for an unknown architecture, a config that contradicts the tensors, or an undetermined size.
    """
    claims = _claims(config)
    found = _READERS[_kind(state)](state)
    found["mlp_ratio"] = agreed_ratio(found, claims)
    wrong = [f"{key}: tensors {found[key]}, config {claims[key]}" for key in found if _differs(found, claims, key)]
    if wrong:
        raise ValueError("the file contradicts the config it carries: " + "; ".join(wrong))
    told = {"image_px": image_px, "window": window, "pretrained_windows": []}
    told |= {key: claims[key] for key in told if claims.get(key)}
    own_windows = found.get("pretrained_windows", ()) is None and not claims
    for key in [key for key in found if found[key] is None]:
        if told[key] is None:
            raise ValueError(f"the file does not tell its {key}; say it with --{key.replace('_', '-')}")
        found[key] = told[key]
    apart = {key: found.pop(key) for key in ("image_px", "in_channels")}
    return Architecture(found, **apart, own_windows=own_windows)


def _kind(state: Mapping[str, Tensor]) -> str:
    signs = {"vit": "blocks.0.attn.qkv.weight", "swin": f"layers.0.blocks.0.{_TABLE}"}
    signs["swin_v2"] = "layers.0.blocks.0.attn.logit_scale"
    for kind, name in signs.items():
        if name in state:
            return kind
    raise ValueError(
        f"the state is none of the released encoders: it has neither of {', '.join(sorted(signs.values()))}; "
        f"it begins with {', '.join(list(state)[:3]) or 'nothing'}"
    )


def _claims(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of the config under our names; empty for a config that is not of the released code."""
    model = _part(config, "MODEL")
    kind = str(model.get("TYPE"))
    if kind not in _CONFIG:
        return {}
    name, section = _CONFIG[kind]
    said = _part(model, section)
    claims = {ours: said[theirs] for ours, theirs in _SETTINGS.items() if theirs in said}
    claims |= {"name": name, "image_px": _part(config, "DATA").get("IMG_SIZE")}
    if not all(isinstance(claims.get(key, 1), int) and claims.get(key, 1) > 0 for key in ("image_px", "window")):
        return {}
    if "shared_bias" in claims:
        claims["final_norm"] = not said.get("USE_MEAN_POOLING", False)
    measured = said.get("PRETRAINED_WINDOW_SIZES")
    if isinstance(measured, list) and all(isinstance(window, int) and window for window in measured):  # 0: the own one
        claims["pretrained_windows"] = measured
    return claims


def _part(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = config.get(name)
    return part if isinstance(part, Mapping) else {}


def _differs(found: Mapping[str, Any], claims: Mapping[str, Any], key: str) -> bool:
    return key in claims and None not in (found[key], claims[key]) and found[key] != claims[key]


def _windowed(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """What Swin and SwinV2 have in common; their readers add `window` and `num_heads`."""
    embedding = _shape(state, "patch_embed.proj.weight", 4)
    depths = [_count(state, rf"layers\.{stage}\.blocks\.(\d+)\.") for stage in range(_count(state, r"layers\.(\d+)\."))]
    return {
        "patch_px": embedding[2],
        "embed_dim": embedding[0],
        "depths": depths,
        "mlp_ratio": mlp_ratio(*_shape(state, f"layers.{len(depths) - 1}.blocks.0.mlp.fc1.weight", 2)),
        "in_channels": embedding[1],
    }


def _swin(state: Mapping[str, Tensor]) -> dict[str, Any]:
    found = _windowed(state)
    tables = [_shape(state, f"layers.{stage}.blocks.0.{_TABLE}", 2) for stage in range(len(found["depths"]))]
    window = square_side(tables[0][0])
    found |= {"name": "swin", "num_heads": [table[1] for table in tables], "window": window}
    return found | {"image_px": _side(state, window, found["patch_px"])}


def _swin_v2(state: Mapping[str, Tensor]) -> dict[str, Any]:
    found = _windowed(state)
    first = [f"layers.{stage}.blocks.0.attn" for stage in range(len(found["depths"]))]
    heads = [_shape(state, f"{block}.logit_scale", 3)[0] for block in first]
    coordinates = [state.get(f"{block}.relative_coords_table") for block in first]
    known = all(table is not None and table.ndim == 4 and table.numel() for table in coordinates)
    window = (coordinates[0].shape[1] + 1) // 2 if known else None
    return {
        "name": "swin_v2",
        "num_heads": heads,
        "window": window,
        "pretrained_windows": [_measured_by(table) for table in coordinates] if known else None,
        "image_px": _side(state, window, found["patch_px"]) if known else None,
    } | found


def _measured_by(coordinates: Tensor) -> int:
    """The window whose largest offset has distance 1 in a table of coordinates sign(8 x) log2(|8 x| + 1) / log2(8)."""
    reach, largest = coordinates.shape[1] // 2, min(coordinates[0, -1, -1, 0].item(), 10.0)
    return 1 + round(reach / ((2 ** (3 * largest) - 1) / 8)) if largest > 0 else reach + 1


def _vit(state: Mapping[str, Tensor]) -> dict[str, Any]:
    embedding = _shape(state, "patch_embed.proj.weight", 4)
    shared = _SHARED_TABLE in state
    table = _shape(state, _SHARED_TABLE if shared else f"blocks.0.{_TABLE}", 2)
    return {
        "name": "vit",
        "patch_px": embedding[2],
        "embed_dim": embedding[0],
        "depth": _count(state, r"blocks\.(\d+)\."),
        "num_heads": table[1],
        "mlp_ratio": mlp_ratio(*_shape(state, "blocks.0.mlp.fc1.weight", 2)),
        "shared_bias": shared,
        "final_norm": "norm.weight" in state,
        "image_px": square_side(table[0], CLASS_ROWS) * embedding[2],
        "in_channels": embedding[1],
    }


def _side(state: Mapping[str, Tensor], window: int, patch_px: int) -> int | None:
    """Side of the input from the number of windows in the first shift mask; None where the file has no mask."""
    mask = state.get("layers.0.blocks.1.attn_mask")
    return None if mask is None or mask.ndim != 3 else math.isqrt(len(mask)) * window * patch_px


def _count(state: Mapping[str, Tensor], pattern: str) -> int:
    """One more than the largest index at this place, so that a gap shows up as missing names."""
    found = (re.match(pattern, name) for name in state)
    count = 1 + max((int(match[1]) for match in found if match), default=-1)
    if count > len(state):
        raise ValueError(f"the architecture cannot be told: a name counts up to {count - 1}")
    return count


def _shape(state: Mapping[str, Tensor], name: str, dimensions: int) -> tuple[int, ...]:
    if name not in state or state[name].ndim != dimensions or not state[name].numel():
        what = f"has shape {list(state[name].shape)}" if name in state else "is missing"
        raise ValueError(f"the architecture cannot be told: '{name}' {what}")
    return tuple(state[name].shape)


_READERS = {"swin": _swin, "swin_v2": _swin_v2, "vit": _vit}
