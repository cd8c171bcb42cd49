"""Pre-trainings of made-up images that take seconds: their configs, methods and packed data."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from simmim.config.component_settings import arguments_of
from simmim.config.models import PretrainConfig, TokenizerConfig
from simmim.data.packing import pack
from simmim.data.samples import RawSample
from simmim.methods._method import Method
from simmim.pretraining.method import build_method
from simmim.train.processes import Processes

ALONE = Processes(0, 1, torch.device("cpu"))
IMAGE_PX = 32, 48
SWIN = {"name": "swin", "patch_px": 4, "embed_dim": 8, "depths": [1, 1], "num_heads": [1, 2], "window": 4}
VIT = {"name": "vit", "patch_px": 8, "embed_dim": 16, "depth": 2, "num_heads": 2}
METHODS: dict[str, dict[str, Any]] = {  # settings of those whose defaults are too large; others keep theirs
    "dino": {
        "local_crops": 2,
        "local_px": 16,
        "outputs": 64,
        "hidden": 32,
        "bottleneck": 16,
        "momentum": 0.9,
        "temperature_warmup": 0.8,
        "last_layer_frozen": 0.1,
    },
    "moco_v3": {"outputs": 16, "hidden": 32, "momentum": 0.9},
}
_TRAIN = {
    "epochs": 4,
    "batch": 8,
    "base_lr": 3e-3,
    "base_lr_batch": 8,
    "precision": "fp32",
    "log_every_steps": 2,
    "save_every_steps": 4,
}
_MASKED = {"mask": {"name": "random"}, "head": {"name": "linear"}, "target": {"name": "pixels"}}
_STATISTICS = {"mean": [0.5] * 3, "std": [0.25] * 3}


def pretrain_config(
    method: str = "simmim",
    settings: Mapping[str, Any] | None = None,
    train: Mapping[str, Any] | None = None,
    **sections: Any,
) -> PretrainConfig:
    """The config of a small pre-training, by default of a Swin; a section replaces the default one whole.

    Args:
        settings: of the method.
        train: values that replace single ones.
    """
    takes = arguments_of("methods", method)
    parts = {name: section for name, section in _MASKED.items() if name in takes}
    made = {
        "scale": "test",
        "run": method,
        "numerics": {},
        "method": {"name": method} | METHODS.get(method, {}),
        "data": {
            split: {"dataset": "made_up", "split": split, "source": {"name": "image_folder"}, "numerics": 1}
            for split in ("train", "val")
        },
        "encoder": SWIN,
        "geometry": {"image_px": IMAGE_PX} | ({"masked_patch_px": 16} if "mask" in takes else {}),
        "images": _STATISTICS,
    }
    made["method"] |= settings or {}
    return PretrainConfig.model_validate(made | parts | sections | {"train": _TRAIN | dict(train or {})})


def built(config: PretrainConfig, tokenizer: torch.nn.Module | None = None) -> Method:
    """A method with the weights of seed 0."""
    torch.manual_seed(0)
    return build_method(config, tokenizer)


def built_simmim(**sections: Any) -> Method:
    """SimMIM with some sections of its config replaced."""
    return built(pretrain_config(**sections))


def tokenizer_config(kind: Mapping[str, Any], **sections: Any) -> TokenizerConfig:
    """The config of a tokenizer that is called as its kind."""
    made = {"scale": "test", "name": kind["name"], "numerics": {}, "data": {}, "kind": kind}
    return TokenizerConfig.model_validate(made | sections)


class Images:
    """A source of coloured images of 32 x 48 pixels without labels.

    Args:
        pixels: sample number -> uint8 [32, 48, 3].
    """

    def __init__(self, pixels, count: int = 16) -> None:
        self._pixels, self._count = pixels, count

    def classes(self):
        return []

    def fingerprint(self):
        return ""

    def samples(self):
        for number in range(self._count):
            stream = io.BytesIO()
            Image.fromarray(self._pixels(number)).save(stream, "png")
            yield RawSample(f"{number}.png", stream.getvalue(), None)


def stripes(number: int) -> np.ndarray:
    """Coloured stripes, which any model can learn to continue."""
    rows = np.sin(np.arange(32) / (2 + number))[:, None, None] * np.array([1.0, -1.0, 0.5])
    return np.broadcast_to(127 + 120 * rows, (32, 48, 3)).astype(np.uint8)


def packed(folder: Path, pixels=stripes) -> dict[str, Path]:
    """Sixteen images for training and the same in reverse order for validation, packed; folders by split."""
    for split, shown in (("train", pixels), ("val", lambda number: pixels(15 - number))):
        pack(Images(shown), folder / split, codec="png", shard_samples=100, short_side_px=None)
    return {split: folder / split for split in ("train", "val")}
