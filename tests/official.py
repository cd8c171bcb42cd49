"""Reads the reference numbers in tests/golden and turns released parameter names into this package's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from helpers.pretraining import built_simmim
from safetensors.torch import load_file
from torch import Tensor

from simmim.methods.simmim import SimMIM
from simmim.released import names

GOLDEN = Path(__file__).parent / "golden"


def case(name: str) -> dict[str, Any]:
    return json.loads((GOLDEN / f"{name}.json").read_text())


def tensors(name: str, part: str = "data") -> dict[str, Tensor]:
    return load_file(GOLDEN / f"{name}.{part}.safetensors")


def our_name(name: str) -> str:
    """A released name of the pre-training model -> ours."""
    return names.our_name(name).replace("decoder.0.", "head.projection.")


def official_name(name: str) -> str:
    """Our name in the pre-training model -> the released one."""
    return names.released_name(name).replace("head.projection.", "decoder.0.")


def our_state(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """A released state -> ours; `fc_norm` in pre-training is not used by anything."""
    return {our_name(name): value for name, value in weights.items() if "encoder.fc_norm" not in name}


def encoder_section(settings: dict[str, Any]) -> dict[str, Any]:
    """Released settings -> a config section."""
    same = {
        "patch_px": settings["patch_size"],
        "embed_dim": settings["embed_dim"],
        "num_heads": settings["num_heads"],
        "mlp_ratio": settings["mlp_ratio"],
    }
    if settings["model"] != "vit":
        same |= {"name": "swin", "depths": settings["depths"], "window": settings["window_size"]}
    if settings["model"] == "swinv2":
        windows = settings["pretrained_window_sizes"]
        same |= {"name": "swin_v2", "pretrained_windows": windows if any(windows) else []}
    if settings["model"] != "vit":
        return same
    shared = settings.get("use_shared_rel_pos_bias", settings.get("use_shared_rpb"))
    pooled = settings.get("use_mean_pooling")
    extra = {"layer_scale": settings["init_values"], "shared_bias": shared, "final_norm": not pooled}
    return {"name": "vit", "depth": settings["depth"]} | extra | same


def simmim_model(settings: dict[str, Any], masked_patch_px: int = 32) -> SimMIM:
    """The pre-training model of a case, with fresh weights."""
    normalised = {"name": "normalised_pixels", "window_px": settings.get("norm_target_patch")}
    return built_simmim(
        encoder=encoder_section(settings),
        target=normalised if settings.get("norm_target") else {"name": "pixels"},
        geometry={"image_px": settings["img_size"], "masked_patch_px": masked_patch_px},
    )


def masked_loss(model: SimMIM, normalised: Tensor, hidden: Tensor) -> Tensor:
    """The loss of images that a case holds normalised, in any float type, [b, c, H, W]."""
    return model.compare(model.predict(normalised, hidden), model.target(normalised, normalised), hidden)
