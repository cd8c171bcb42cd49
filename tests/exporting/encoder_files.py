"""Encoder files of small encoders whose weights are far from their start values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from simmim import plugin
from simmim.plugin import Component
from simmim.storage.encoder_file import save_encoder

SWIN = {"name": "swin", "embed_dim": 12, "depths": [2, 2, 2], "num_heads": [1, 2, 4], "window": 4}
SWIN_V2 = SWIN | {"name": "swin_v2"}
VIT = {"name": "vit", "patch_px": 16, "embed_dim": 24, "depth": 3, "num_heads": 2}
RESNET = {"name": "resnet", "stem_width": 4, "depths": [1, 1, 1], "width_factor": 1}


def written(
    folder: Path, encoder: dict[str, Any], image_px: tuple[int, int] = (64, 64), channels: int = 3, **header: Any
) -> Path:
    """The file of an encoder with random weights."""
    torch.manual_seed(0)
    made = plugin.build("encoders", Component(**encoder), image_px=image_px, in_channels=channels)
    for parameter in made.parameters():
        parameter.data += 0.03 * torch.randn_like(parameter)
    statistics = {"mean": [0.5] * channels, "std": [0.25] * channels}
    header |= {"encoder": encoder, "image_px": image_px, "in_channels": channels} | statistics
    path = folder / "encoder.safetensors"
    save_encoder(path, made, header)
    return path
