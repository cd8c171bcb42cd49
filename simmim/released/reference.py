"""Features of a released state through timm's own classes, to check a conversion against.

Attention and MLP are timm's in both; names, merges, windows, shifts and norms are interpreted by timm here and by our
code in the converted encoder.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping
from typing import Any

import torch
from timm.models import beit, swin_transformer, swin_transformer_v2
from torch import Tensor, nn

from simmim import plugin
from simmim.released.architecture import Architecture

TOLERANCE = 1e-4


def released_features(state: Mapping[str, Tensor], architecture: Architecture, images: Tensor) -> Tensor:
    """Encoder output [b, width, h, w] of images [b, c, H, W] for a state by released names, without prefix."""
    settings = _completed(architecture.encoder)
    model, load_form = _MODELS[settings["name"]](settings, architecture)
    weights = {name: value for name, value in state.items() if name != "mask_token"}
    model.load_state_dict(load_form(weights, model), strict=True)
    features = model.eval().forward_features(images)
    if features.ndim == 4:
        return features.permute(0, 3, 1, 2)  # [b, d, h, w]
    side = architecture.image_px // settings["patch_px"]
    return features[:, 1:].transpose(1, 2).unflatten(2, (side, side))  # [b, d, h, w]


def disagreement(features: Tensor, reference: Tensor) -> float:
    """Largest difference, relative to the largest reference value if that exceeds 1; NaN propagates."""
    return ((features - reference).abs().max() / reference.abs().max().clamp(min=1)).item()


def trial_images(architecture: Architecture) -> Tensor:
    """A fixed batch of one image of standard normal noise, [1, c, H, W]."""
    generator = torch.Generator().manual_seed(0)
    side = architecture.image_px
    return torch.randn(1, architecture.in_channels, side, side, generator=generator)


def _completed(section: Mapping[str, Any]) -> dict[str, Any]:
    parameters = inspect.signature(plugin.component("encoders", section["name"])).parameters
    return {name: each.default for name, each in parameters.items()} | dict(section)


def _swin(settings: Mapping[str, Any], architecture: Architecture) -> tuple[nn.Module, Any]:
    model = swin_transformer.SwinTransformer(**_windowed(settings, architecture))
    return model, swin_transformer.checkpoint_filter_fn


def _swin_v2(settings: Mapping[str, Any], architecture: Architecture) -> tuple[nn.Module, Any]:
    measured = tuple(settings["pretrained_windows"]) or (0,) * len(settings["depths"])
    windowed = _windowed(settings, architecture) | {"pretrained_window_sizes": measured}
    return swin_transformer_v2.SwinTransformerV2(**windowed), swin_transformer_v2.checkpoint_filter_fn


def _vit(settings: Mapping[str, Any], architecture: Architecture) -> tuple[nn.Module, Any]:
    model = beit.Beit(
        **_common(settings, architecture),
        depth=settings["depth"],
        num_heads=settings["num_heads"],
        norm_layer=functools.partial(nn.LayerNorm, eps=1e-6),
        init_values=settings["layer_scale"],
        use_abs_pos_emb=False,
        use_rel_pos_bias=not settings["shared_bias"],
        use_shared_rel_pos_bias=settings["shared_bias"],
        use_fc_norm=not settings["final_norm"],
    )
    model.fc_norm = nn.Identity()  # it comes after pooling
    return model, beit.checkpoint_filter_fn


def _windowed(settings: Mapping[str, Any], architecture: Architecture) -> dict[str, Any]:
    per_stage = {name: tuple(settings[name]) for name in ("depths", "num_heads")}
    return _common(settings, architecture) | per_stage | {"window_size": settings["window"], "drop_path_rate": 0.0}


def _common(settings: Mapping[str, Any], architecture: Architecture) -> dict[str, Any]:
    return {
        "img_size": architecture.image_px,
        "patch_size": settings["patch_px"],
        "in_chans": architecture.in_channels,
        "num_classes": 0,
        "embed_dim": settings["embed_dim"],
        "mlp_ratio": settings["mlp_ratio"],
    }


_MODELS = {"swin": _swin, "swin_v2": _swin_v2, "vit": _vit}
