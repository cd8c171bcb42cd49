"""Hugging Face's classes for an encoder: a folder that `from_pretrained` reads (for Swin, SwinV2, ViT and BEiT)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from simmim.exporting.timm_model import timm_model
from simmim.exporting.trial import FOLDER, Draft, contents, filled
from simmim.plugin import NotInstalled

_LOAD = f"""from transformers import {{kind}}
model = {{kind}}.from_pretrained("{FOLDER}"{{pooling}}).eval()
features = model(images).last_hidden_state"""
_WINDOWED_NAMES = [
    (r"patch_embed\.proj", "embeddings.patch_embeddings.projection"),
    (r"patch_embed\.norm", "embeddings.norm"),
    (r"layers\.(\d+)\.downsample", lambda it: f"encoder.layers.{int(it[1]) - 1}.downsample"),
    (r"layers\.(\d+)\.blocks", r"encoder.layers.\1.blocks"),
    (r"(.*)\.norm1", r"\1.layernorm_before"),
    (r"(.*)\.norm2", r"\1.layernorm_after"),
]
_NAMES = {  # of timm's parameters -> of transformers'
    "swin": [
        *_WINDOWED_NAMES,
        (r"(.*)\.attn\.proj", r"\1.attention.o_proj"),
        (r"(.*)\.attn\.relative", r"\1.attention.relative_position_bias.relative"),
        (r"norm\.", "layernorm."),
    ],
    "swinv2": [
        *_WINDOWED_NAMES,
        (r"(.*)\.mlp\.fc1", r"\1.intermediate.dense"),
        (r"(.*)\.mlp\.fc2", r"\1.output.dense"),
        (r"(.*)\.attn\.proj", r"\1.attention.output.dense"),
        (r"(.*)\.attn\.cpb_mlp", r"\1.attention.self.continuous_position_bias_mlp"),
        (r"(.*)\.attn\.", r"\1.attention.self."),
        (r"norm\.", "layernorm."),
    ],
    "vit": [
        (r"cls_token", "embeddings.cls_token"),
        (r"pos_embed", "embeddings.position_embeddings"),
        (r"patch_embed\.proj", "embeddings.patch_embeddings.projection"),
        (r"blocks\.", "layers."),
        (r"(.*)\.norm1", r"\1.layernorm_before"),
        (r"(.*)\.norm2", r"\1.layernorm_after"),
        (r"(.*)\.attn\.proj", r"\1.attention.o_proj"),
        (r"(.*)\.attn\.relative", r"\1.relative_position_bias.relative"),
        (r"rel_pos_bias\.", "shared_position_bias."),
        (r"(.*)\.gamma_", r"\1.lambda_"),
        (r"norm\.", "layernorm."),
        (r"fc_norm\.", "pooler.layernorm."),
    ],
}
_PROJECTIONS = {  # query, key and value
    "swin": [f"attention.{each}_proj" for each in "qkv"],
    "vit": [f"attention.{each}_proj" for each in "qkv"],
    "swinv2": [f"attention.self.{each}" for each in ("query", "key", "value")],
}


class _Counterpart(NamedTuple):
    """A class of transformers, the settings of its config, and a dialect of parameter names."""

    kind: str
    config: Mapping[str, Any]
    names: str


def write(folder: Path, encoder: nn.Module, header: Mapping[str, Any]) -> Draft:
    """Write config.json and model.safetensors.

    Raises:
        ValueError: for an encoder that transformers has no counterpart of.
        NotInstalled: without transformers.
    """
    try:
        import transformers
    except ImportError:
        raise NotInstalled("--to transformers needs that package: pip install 'simmim[export]'") from None
    transformers.utils.logging.disable_progress_bar()
    found = _counterpart(encoder, header)
    config = getattr(transformers, found.kind.replace("Model", "Config"))(
        image_size=list(header["image_px"]), num_channels=header["in_channels"], drop_path_rate=0.0, **found.config
    )
    pooled = bool(found.config.get("use_mean_pooling"))
    try:
        model = getattr(transformers, found.kind)(config, add_pooling_layer=pooled)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"transformers has no counterpart of this encoder: {error}") from error
    filled(model, _renamed(contents(encoder), found), f"transformers' {found.kind}")
    model.save_pretrained(folder)
    load = _LOAD.format(kind=found.kind, pooling="" if pooled else ", add_pooling_layer=False", folder=FOLDER)
    return Draft(load, 1e-5, tuple(header["image_px"]), normed=not pooled)


def _counterpart(encoder: nn.Module, header: Mapping[str, Any]) -> _Counterpart:
    """The class for an encoder; its parameters must fit strictly, so what it does not tell apart is refused there."""
    name, arguments = timm_model(encoder, header)
    body = getattr(encoder, "body", encoder)
    for begins, made in _MADE.items():
        if re.match(begins, name):
            return made(body, arguments)
    raise ValueError(
        f"transformers has no counterpart of {name} here: Swin, SwinV2, ViT, DeiT and BEiT have one; "
        "--to timm, onnx or torch-export takes it"
    )


def _windowed(body: nn.Module, arguments: Mapping[str, Any]) -> dict[str, Any]:
    blocks = [stage.blocks[0] for stage in body.layers]
    windows = {side for block in blocks for side in block.window_size}
    if len(windows) > 1:
        listed = ", ".join("x".join(map(str, block.window_size)) for block in blocks)
        raise ValueError(f"transformers' Swin has one window for all stages, this encoder has {listed}")
    return {
        "patch_size": body.patch_embed.patch_size[0],
        "embed_dim": body.patch_embed.proj.out_channels,
        "depths": [len(stage.blocks) for stage in body.layers],
        "num_heads": [block.attn.num_heads for block in blocks],
        "window_size": windows.pop(),
        "mlp_ratio": arguments.get("mlp_ratio", 4.0),  # timm's own models all have 4
    }


def _swin(body: nn.Module, arguments: Mapping[str, Any]) -> _Counterpart:
    return _Counterpart("SwinModel", _windowed(body, arguments), "swin")


def _swin_v2(body: nn.Module, arguments: Mapping[str, Any]) -> _Counterpart:
    windows = {"pretrained_window_sizes": list(arguments.get("pretrained_window_sizes", (0,) * len(body.layers)))}
    return _Counterpart("Swinv2Model", _windowed(body, arguments) | windows, "swinv2")


def _plain(body: nn.Module) -> dict[str, Any]:
    return {
        "patch_size": body.patch_embed.patch_size[0],
        "hidden_size": body.patch_embed.proj.out_channels,
        "num_hidden_layers": len(body.blocks),
        "num_attention_heads": body.blocks[0].attn.num_heads,
        "intermediate_size": body.blocks[0].mlp.fc1.out_features,
        "layer_norm_eps": body.blocks[0].norm1.eps,
    }


def _vit(body: nn.Module, arguments: Mapping[str, Any]) -> _Counterpart:
    return _Counterpart("ViTModel", _plain(body), "vit")


def _beit(body: nn.Module, arguments: Mapping[str, Any]) -> _Counterpart:
    first, (height, width) = body.blocks[0], arguments["img_size"]
    if height != width:  # it reads its position table as [columns, rows]
        given = f"{height} x {width} px"
        raise ValueError(f"transformers' BEiT is right for square inputs only, this encoder is for {given}")
    return _Counterpart(
        "BeitModel",
        _plain(body)
        | {
            "use_absolute_position_embeddings": getattr(body, "pos_embed", None) is not None,
            "use_relative_position_bias": first.attn.relative_position_bias_table is not None,
            "use_shared_relative_position_bias": body.rel_pos_bias is not None,
            "layer_scale_init_value": 0.1 if first.gamma_1 is not None else 0.0,
            "use_mean_pooling": isinstance(body.norm, nn.Identity),
        },
        "vit",
    )


_MADE: dict[str, Callable[[nn.Module, Mapping[str, Any]], _Counterpart]] = {
    r"swin_(?!s3)": _swin,
    r"swinv2_": _swin_v2,
    r"(vit|deit)_": _vit,
    r"beit(v2)?_": _beit,
}


def _renamed(state: Mapping[str, Tensor], found: _Counterpart) -> dict[str, Tensor]:
    """timm's parameters by transformers' names: three projections for one, each with the bias it has."""
    renamed: dict[str, Tensor] = {}
    for name, value in state.items():
        if match := re.fullmatch(r"(.*)attn\.(qkv\.weight|qkv\.bias|q_bias|v_bias)", name):
            renamed |= {_name(f"{match[1]}{key}", found): part for key, part in _split(match[2], value, found).items()}
        else:
            renamed[_name(name, found)] = value
    return renamed


def _split(part: str, value: Tensor, found: _Counterpart) -> dict[str, Tensor]:
    places = _PROJECTIONS[found.names]
    if part.startswith("qkv"):
        ending = part.removeprefix("qkv")
        return {place + ending: each.contiguous() for place, each in zip(places, torch.chunk(value, 3))}
    return {f"{places['qkv'.index(part[0])]}.bias": value}


def _name(name: str, found: _Counterpart) -> str:
    for pattern, becomes in _NAMES[found.names]:
        name = re.sub(f"^{pattern}", becomes, name)
    return name
