"""The networks of pre-trainings and of the tokenizers they may need, counted once for all runs that share them."""

from __future__ import annotations

import functools
import json
import math
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from simmim.plan.network import (
    NO_PART,
    Network,
    Part,
    count,
    encoder_key,
    encoder_part,
    is_checkpointed,
    key_of,
    meta_image,
)
from simmim.pretrain.run import build_task, side_pair
from simmim.pretrain.tokenizer import build_tokenizer

_RGB = 3


def pretraining_network(config: Mapping[str, Any]) -> Network:
    """What a pre-training config describes, with its head, at its input size.

    Raises:
        plugin.NotInstalled: for a method that needs a package which is not here.
    """
    kept = {key: config[key] for key in ("method", "head", "target", "images", "tokenizer") if key in config}
    kept |= {"encoder": json.loads(encoder_key(config["encoder"])), "loss": {"name": config["loss"]["name"]}}
    image_px = side_pair(config["geometry"]["image_px"])
    kept["geometry"] = {"image_px": image_px, "masked_patch_px": math.gcd(*image_px)}  # masks change no network
    return _counted(key_of(kept), is_checkpointed(config["encoder"]))


@functools.cache
def tokenizer_network(key: str) -> Network:
    """A tokenizer in training, from the JSON of its config."""
    config = json.loads(key)
    side = config["kind"].get("image_px", 96)
    with torch.device("meta"):
        tokenizer = build_tokenizer(config)
        encode = count(tokenizer, lambda: tokenizer.encode(meta_image(_RGB, (side, side))))
        codes = tokenizer.encode(meta_image(_RGB, (side, side)))
        decode = count(tokenizer, lambda: tokenizer.decode(codes))
    both = Part(encode.parameters, encode.forward_flops + decode.forward_flops, encode.kept_bytes + decode.kept_bytes)
    return Network(NO_PART, both)


@functools.cache
def _counted(key: str, checkpointed: bool) -> Network:
    config = json.loads(key)
    image_px, channels = side_pair(config["geometry"]["image_px"]), len(config["images"]["mean"])
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # lightly's, about torch's weight_norm
        task = build_task(config | {"start": {"encoder": ""}, "train": {}})
        encoder = encoder_part(key_of(config["encoder"]), image_px, channels)
        if config["method"]["name"] != "simmim":
            return _rival(task.eval(), encoder, image_px, channels, checkpointed)  # one image has no batch statistics
        model = task.model
        features = torch.empty(1, model.encoder.width, *(side // model.encoder.stride for side in image_px))
        head = count(model.head, lambda: model.head(features))
        return Network(encoder, head, _tokenizer_part(model.target), checkpointed)


def _tokenizer_part(target: Any) -> Part:
    """Making the codes of one image; nothing for a target that is no network."""
    tokenizer = getattr(target, "tokenizer", None)
    if tokenizer is None:
        return NO_PART
    side = target.resolution_px * tokenizer.factor
    return count(tokenizer, lambda: tokenizer.encode(meta_image(_RGB, (side, side))))


def _rival(task: nn.Module, encoder: Part, image_px: tuple[int, int], channels: int, checkpointed: bool) -> Network:
    """A student that sees all views of an image and a teacher that sees those of the first group."""
    predictor = getattr(task, "predictor", nn.Identity())
    student = nn.ModuleList([task.student, predictor])
    views = [view.image_px for group in task.views.values() for view in group]
    counts = {px: count(student, lambda px=px: predictor(task.student(meta_image(channels, px)))) for px in set(views)}
    taught = count(task.teacher, lambda: task.teacher(meta_image(channels, image_px)))
    total = [sum(counts[px][index] for px in views) for index in (1, 2)]
    rest = Part(counts[views[0]].parameters - encoder.parameters, total[0] - encoder.forward_flops,
                total[1] - encoder.kept_bytes)  # fmt: skip
    seen = len(next(iter(task.views.values())))
    return Network(encoder, rest, taught._replace(forward_flops=seen * taught.forward_flops), checkpointed)
