"""The networks of pre-trainings and of the tokenizers they may need, counted once for all runs that share them."""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable

import torch
from torch import nn

from simmim.config.models import PretrainConfig, TokenizerConfig
from simmim.config.sections import GeometrySection, ImagesSection, InitSection, LossSection
from simmim.config.training import TrainSettings
from simmim.methods._branch import TeacherMethod
from simmim.plan.network import (
    NO_PART,
    Network,
    Part,
    SizedEncoder,
    count,
    counted_section,
    encoder_part,
    is_checkpointed,
    on_meta,
)
from simmim.plugin import Component
from simmim.pretrain.method import build_method
from simmim.pretrain.tokenizer import build_tokenizer

_RGB = 3


def pretraining_network(config: PretrainConfig) -> Network:
    """What a pre-training config describes, with its head, at its input size.

    Raises:
        plugin.NotInstalled: for a method that needs a package which is not installed.
    """
    return _counted(_without_what_changes_no_network(config).model_dump_json(), is_checkpointed(config.encoder))


def _without_what_changes_no_network(config: PretrainConfig) -> PretrainConfig:
    image_px, is_masked = config.geometry.image_px, config.mask is not None
    same = {"scale": "", "run": "", "seeds": 1, "init": InitSection(), "data": {}, "numerics": {}, "role": "pretrain"}
    return config.model_copy(
        update=same
        | {
            "encoder": counted_section(config.encoder),
            "mask": Component(name="random", ratio=0.5) if is_masked else None,
            "geometry": GeometrySection(image_px=image_px, masked_patch_px=math.gcd(*image_px) if is_masked else None),
            "loss": LossSection(name=config.loss.name),
            "images": ImagesSection(mean=config.images.mean, std=config.images.std),
            "train": TrainSettings(epochs=1, batch=1, base_lr=1),
        }
    )


def tokenizer_network(config: TokenizerConfig) -> Network:
    """A tokenizer in training."""
    return _counted_tokenizer(config.model_dump_json())


@functools.cache
def _counted_tokenizer(key: str) -> Network:
    config = TokenizerConfig.model_validate_json(key)
    side = config.kind.settings.get("image_px", 96)
    with torch.device("meta"):
        tokenizer = build_tokenizer(config)
        image = torch.empty(1, _RGB, side, side)
        encode = count(tokenizer, lambda: tokenizer.encode(image))
        codes = tokenizer.encode(image)
        decode = count(tokenizer, lambda: tokenizer.decode(codes))
    both = Part(encode.parameters, encode.forward_flops + decode.forward_flops, encode.kept_bytes + decode.kept_bytes)
    return Network(NO_PART, both)


@functools.cache
def _counted(key: str, checkpointed: bool) -> Network:
    config = PretrainConfig.model_validate_json(key)
    sized = SizedEncoder(config.encoder, config.geometry.image_px, config.channels)
    with on_meta(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # lightly's, about torch's weight_norm
        tokenizer = build_tokenizer(config.tokenizer) if config.tokenizer else None
        method = build_method(config, tokenizer)
    with torch.device("meta"):
        if isinstance(method, TeacherMethod):
            return _with_teacher(method.eval(), sized, checkpointed)  # one image has no batch statistics
        encoder, head = method.get_submodule(method.trained_encoder), method.get_submodule(method.kept_head)
        features = torch.empty(1, encoder.width, *(side // encoder.stride for side in sized.image_px))
        codes = _encoding(tokenizer, config.target) if tokenizer else NO_PART
        return Network(encoder_part(sized), count(head, lambda: head(features)), codes, checkpointed)


def _encoding(tokenizer: nn.Module, target: Component) -> Part:
    """Making the codes of one image."""
    side = target.settings["resolution_px"] * tokenizer.factor
    return count(tokenizer, lambda: tokenizer.encode(torch.empty(1, _RGB, side, side)))


def _with_teacher(method: TeacherMethod, sized: SizedEncoder, checkpointed: bool) -> Network:
    """A student that sees all views of an image and a teacher that sees those of the first group."""
    encoder = encoder_part(sized)
    predictor = dict(method.named_children()).get("predictor", nn.Identity())
    student = nn.ModuleList([method.student, predictor])
    views = [view.image_px for group in method.views.values() for view in group]
    counts = {image_px: count(student, _seeing(method, predictor, sized, image_px)) for image_px in set(views)}
    taught = count(method.teacher, lambda: method.teacher(sized.image))
    flops, kept = (sum(counts[image_px][index] for image_px in views) for index in (1, 2))
    rest = Part(
        counts[views[0]].parameters - encoder.parameters, flops - encoder.forward_flops, kept - encoder.kept_bytes
    )
    seen = len(next(iter(method.views.values())))
    return Network(encoder, rest, taught._replace(forward_flops=seen * taught.forward_flops), checkpointed)


def _seeing(method: TeacherMethod, predictor: nn.Module, sized: SizedEncoder, image_px: tuple[int, int]) -> Callable:
    """The student's pass over a view of this size."""
    image = sized._replace(image_px=image_px).image
    return lambda: predictor(method.student(image))
