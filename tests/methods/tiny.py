"""Striped images, and a config for every rival that trains on them in seconds."""

import io

import numpy as np
import torch
from PIL import Image

from simmim.config.sections import Pretraining
from simmim.data.packing import pack
from simmim.data.samples import RawSample
from simmim.storage import records
from simmim.train.processes import Processes

ALONE = Processes(0, 1, torch.device("cpu"))
METHODS = {
    "dino": {
        "local_crops": 2, "local_px": 16, "outputs": 64, "hidden": 32, "bottleneck": 16, "momentum": 0.9,
        "temperature_warmup": 0.8, "last_layer_frozen": 0.1,
    },
    "moco_v3": {"outputs": 16, "hidden": 32, "momentum": 0.9},
}  # fmt: skip


class Stripes:
    def classes(self):
        return []

    def fingerprint(self):
        return ""

    def samples(self):
        for i in range(16):
            rows = np.sin(np.arange(32) / (2 + i))[:, None, None] * np.array([1.0, -1.0, 0.5])
            stream = io.BytesIO()
            Image.fromarray(np.broadcast_to(127 + 120 * rows, (32, 48, 3)).astype(np.uint8)).save(stream, "png")
            yield RawSample(f"{i}.png", stream.getvalue(), None)


def packed(folder):
    for split in ("train", "val"):
        pack(Stripes(), folder / split, codec="png", shard_samples=100, short_side_px=None)
    return {split: folder / split for split in ("train", "val")}


def config(method, encoder=(), settings=(), **train):
    sections = {
        "method": {"name": method} | METHODS[method] | dict(settings),
        "encoder": {"name": "vit", "patch_px": 8, "embed_dim": 16, "depth": 2, "num_heads": 2} | dict(encoder),
        "geometry": {"image_px": [32, 48]},
        "images": {"crop_scale": [0.3, 1.0], "mean": [0.5] * 3, "std": [0.25] * 3},
        "train": {
            "epochs": 4, "batch": 8, "base_lr": 1e-3, "base_lr_batch": 8, "precision": "fp32", "log_every_steps": 2,
            "save_every_steps": 4,
        } | train,
    }  # fmt: skip
    completed = Pretraining.model_validate(sections).model_dump(mode="json")
    return {"scale": "test", "run": method, "config_hash": records.config_hash(completed)} | completed
