"""timm's name and arguments for an encoder, and a folder that `timm.create_model("local-dir:...")` reads."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
from torch import nn

from simmim.exporting.trial import FOLDER, Draft, contents, filled
from simmim.plugin import Component
from simmim.storage.files import write_text
from simmim.storage.model_file import write_tensors

_LOAD = f"""import timm
model = timm.create_model("local-dir:{FOLDER}", pretrained=True).eval()
features = model.forward_features(images)"""
_PADS_LATE = (
    "Where an attention window does not divide the map, timm pads after the cyclic shift and the published Swin before "
    "it (timm issue 2438): there its features differ. The features were compared where all windows fit."
)


def write(folder: Path, encoder: nn.Module, header: Mapping[str, Any]) -> Draft:
    """Write config.json and model.safetensors.

    Raises:
        ValueError: for an encoder that timm has no counterpart of.
    """
    name, arguments = timm_model(encoder, header)
    state = contents(encoder)
    try:
        model = timm.create_model(name, **arguments)
    except (AssertionError, TypeError, RuntimeError) as error:
        raise ValueError(f"timm has no counterpart of this encoder: {error}") from error
    _refuse_other_shifts(model, encoder)
    filled(model, state, "timm")
    write_tensors(folder / "model.safetensors", state)
    config = _config(name, arguments, encoder, header, model.pretrained_cfg)
    write_text(folder / "config.json", json.dumps(config, indent=2) + "\n")
    compared, remarks = compared_px(encoder, header)
    return Draft(_LOAD, 1e-5, compared, normed=_ends_in_norm(encoder), remarks=remarks)


def _refuse_other_shifts(model: nn.Module, encoder: nn.Module) -> None:
    """The published Swin shifts no window of a map with a side of one window; timm looks at each side by itself."""
    if not hasattr(encoder, "layers"):
        return
    for theirs, ours in zip(model.layers, encoder.layers):
        if [block.shift_size for block in theirs.blocks] != [block.shift_size for block in ours.blocks]:
            rows, columns = ours.blocks[0].input_resolution
            raise ValueError(
                f"timm has no counterpart of this encoder: on its map of {rows} x {columns} cells timm shifts windows "
                "along the longer side, the published Swin along none; --to onnx or torch-export takes it"
            )


def timm_model(encoder: nn.Module, header: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """timm's name of the architecture and the arguments of `timm.create_model` that make it this encoder's."""
    section = Component.model_validate(header["encoder"])
    if section.name not in _ARGUMENTS:
        raise ValueError(
            f"timm has no counterpart of encoder={section.name}: those of {', '.join(_ARGUMENTS)} have one; "
            "--to onnx or torch-export takes any"
        )
    name, arguments = _ARGUMENTS[section.name](encoder, section.settings)
    return name, {"num_classes": 0, "in_chans": header["in_channels"]} | arguments


def _of_timm(encoder: nn.Module, settings: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    return settings["model"], encoder.timm_arguments


def _of_swin(encoder: nn.Module, settings: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    return "swin_tiny_patch4_window7_224", {
        "img_size": list(encoder.image_px),
        "patch_size": encoder.token,
        "embed_dim": encoder.levels[0][0],
        "depths": [len(stage.blocks) for stage in encoder.layers],
        "num_heads": [stage.blocks[0].attn.num_heads for stage in encoder.layers],
        "window_size": [list(stage.blocks[0].window_size) for stage in encoder.layers],
        "mlp_ratio": _mlp_ratio(settings),
        "always_partition": not settings.get("clamp_window", True),
        "strict_img_size": False,
        "drop_path_rate": 0.0,
    }


def _of_swin_v2(encoder: nn.Module, settings: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    if settings.get("main_norm_every"):
        raise ValueError("timm's SwinV2 has no norms on the main branch, this encoder has main_norm_every")
    arguments = _of_swin(encoder, settings)[1]
    windows = {"pretrained_window_sizes": encoder.kept_settings["pretrained_windows"]}
    return "swinv2_tiny_window8_256", arguments | windows


def _of_vit(encoder: nn.Module, settings: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    if not encoder.final_norm:
        raise ValueError(
            "timm's BEiT has a norm of the output, this encoder has none: of a fine-tuned ViT (final_norm=false) it is "
            "the classifier's; --to onnx or torch-export takes it"
        )
    return "beit_base_patch16_224", {
        "img_size": list(encoder.image_px),
        "patch_size": encoder.token,
        "embed_dim": encoder.width,
        "depth": encoder.depth,
        "num_heads": encoder.blocks[0].attn.num_heads,
        "mlp_ratio": _mlp_ratio(settings),
        "init_values": settings.get("layer_scale", 0.1),
        "use_abs_pos_emb": False,
        "use_rel_pos_bias": not encoder.shared_bias,
        "use_shared_rel_pos_bias": encoder.shared_bias,
        "use_fc_norm": False,
    }


def _mlp_ratio(settings: Mapping[str, Any]) -> float:
    """As it was set: channels round the hidden ones down, stage by stage, so that no layer has the ratio itself."""
    return settings.get("mlp_ratio", 4.0)


_ARGUMENTS = {"swin": _of_swin, "swin_v2": _of_swin_v2, "vit": _of_vit, "timm": _of_timm}


def _config(
    name: str, arguments: Mapping[str, Any], encoder: nn.Module, header: Mapping[str, Any], known: Mapping[str, Any]
) -> dict[str, Any]:
    """What timm reads of an architecture beside its weights.

    Args:
        known: timm's own of this architecture: where its classifier and first layer are, without which timm refuses
            another number of classes and of channels.
    """
    # First layers of other channels are left as they are: timm versions that take all for 3 would draw them anew.
    kept = ("classifier", "first_conv") if header["in_channels"] == 3 else ("classifier",)
    pretrained = {
        "input_size": [header["in_channels"], *header["image_px"]],
        "fixed_input_size": not encoder.any_size,
        "mean": list(header["mean"]),
        "std": list(header["std"]),
        "num_classes": 0,
    } | {key: known[key] for key in kept if known.get(key)}
    rest = {name: value for name, value in arguments.items() if name != "num_classes"}
    about = {"architecture": name, "num_classes": 0, "num_features": encoder.width}
    return about | {"model_args": rest, "pretrained_cfg": pretrained}


def _ends_in_norm(encoder: nn.Module) -> bool:
    """Whether timm's `forward_features` ends where the encoder does: no norm after pooling is applied before it."""
    return not getattr(encoder, "norms_pooled", False)


def compared_px(encoder: nn.Module, header: Mapping[str, Any]) -> tuple[tuple[int, int], tuple[str, ...]]:
    """The smallest input, from the encoder's own on, in which every attention window fits a whole number of times."""
    own, layers = tuple(header["image_px"]), getattr(getattr(encoder, "body", encoder), "layers", None)
    if layers is None:
        return own, ()
    windows = [stage.blocks[0].window_size for stage in layers]
    units = [math.lcm(*(2**stage * window[axis] for stage, window in enumerate(windows))) for axis in (0, 1)]
    fitting = tuple(-(-side // (encoder.token * unit)) * encoder.token * unit for side, unit in zip(own, units))
    return fitting, () if fitting == own else (_PADS_LATE,)
