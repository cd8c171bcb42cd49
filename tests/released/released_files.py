"""Checkpoints as the released code writes them, made from the reference numbers."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from official import case, tensors
from torch import Tensor

CASES = "mim_swin_a", "mim_swinv2_a", "mim_vit_a_norm", "mim_vit_a_meanpool"
FINETUNED = "ft_swin_a", "ft_swinv2_a", "ft_vit_a"


def pretrained(path: Path, name: str, config: bool = True, **entries: Any) -> Path:
    """What the released pre-training saves for a case, beside its weights a config node and some training state."""
    parameter = torch.nn.Parameter(torch.zeros(3))
    optimizer = torch.optim.AdamW([parameter])
    parameter.sum().backward()
    optimizer.step()
    content = {"model": tensors(name, "weights"), "optimizer": optimizer.state_dict(), "max_accuracy": 0.0, "epoch": 99}
    return write(path, content | ({"config": released_config(case(name)["settings"])} if config else {}) | entries)


def finetuned(path: Path, name: str) -> Path:
    """What the released fine-tuning saves for a case: no prefix, no mask token, a classifier."""
    return write(path, {"model": finetuned_state(name), "config": released_config(case(name)["settings"])})


def finetuned_state(name: str) -> dict[str, Tensor]:
    """Weights of a classifier by released names, put together as its case says."""
    record, data = case(name), tensors(name)
    source = tensors(record["source_case"], "weights").items()
    bare = {key.removeprefix("encoder."): value for key, value in source if key.startswith("encoder.")}
    copied = record.get("copied_keys", [key for key in bare if key != "mask_token"])
    new = {key.split(".", 1)[1]: value for key, value in data.items() if key.startswith(("remapped.", "fresh."))}
    return {key: bare[key] for key in copied} | new


def write(path: Path, content: Mapping[str, Any]) -> Path:
    with _config_module():
        torch.save(dict(content), path)
    return path


def released_config(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a released config that describes a model, as nested config nodes once written."""
    kind = settings["model"]
    keys = {
        "PATCH_SIZE": "patch_size",
        "IN_CHANS": "in_chans",
        "EMBED_DIM": "embed_dim",
        "DEPTHS": "depths",
        "DEPTH": "depth",
        "NUM_HEADS": "num_heads",
        "WINDOW_SIZE": "window_size",
        "MLP_RATIO": "mlp_ratio",
        "PRETRAINED_WINDOW_SIZES": "pretrained_window_sizes",
        "USE_SHARED_RPB": "use_shared_rel_pos_bias",
        "USE_MEAN_POOLING": "use_mean_pooling",
    }
    model = CfgNode({released: settings[ours] for released, ours in keys.items() if ours in settings})
    data = CfgNode({"IMG_SIZE": settings["img_size"]})
    whole = CfgNode({"TYPE": kind, kind.upper(): model})
    return CfgNode({"MODEL": whole, "DATA": data, "TAG": "simmim_pretrain__tiny"})


class CfgNode(dict):
    """Pickles as the class of the same name that the released code uses: a dict with flags in its `__dict__`."""

    __module__ = "yacs.config"

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.__dict__["__immutable__"] = True
        self.__dict__["__deprecated_keys__"] = set()


@contextmanager
def _config_module() -> Iterator[None]:
    """A throw-away module of the class's home, for as long as a pickle is written."""
    package, module = types.ModuleType("yacs"), types.ModuleType("yacs.config")
    package.config, module.CfgNode = module, CfgNode
    sys.modules |= {"yacs": package, "yacs.config": module}
    try:
        yield
    finally:
        del sys.modules["yacs"], sys.modules["yacs.config"]
