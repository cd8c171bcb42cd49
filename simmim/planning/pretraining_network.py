"""The networks of pre-trainings and of the tokenizers they may need, counted once for all runs that share them."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from simmim.config.models import PretrainConfig, TokenizerConfig
from simmim.config.sections import GeometrySection, ImagesSection, InitSection, LossSection
from simmim.config.training import TrainSettings
from simmim.methods._branch import TeacherMethod
from simmim.planning.counting import NO_PART, WEIGHT_BYTES, Part, count, moved, on_fake_device, parameters_of
from simmim.planning.network import (
    Network,
    SizedEncoder,
    counted_section,
    encoder_part,
    is_checkpointed,
    on_meta,
)
from simmim.plugin import Component
from simmim.pretraining.method import build_method
from simmim.pretraining.tokenizer import build_tokenizer, image_px_of

_RGB = 3


def pretraining_network(config: PretrainConfig, precision: str = "fp32") -> Network:
    """What a pre-training config describes, with its head, at its input size.

    Args:
        precision: "fp32" or "bf16", in which activations are counted.

    Raises:
        plugin.NotInstalled: for a method that needs a package which is not installed.
    """
    key = _without_what_changes_no_network(config).model_dump_json()
    return _counted(key, is_checkpointed(config.encoder), precision)


def _without_what_changes_no_network(config: PretrainConfig) -> PretrainConfig:
    image_px, is_masked = config.geometry.image_px, config.mask is not None
    same = {"scale": "", "run": "", "init": InitSection(), "data": {}, "numerics": {}, "role": "pretrain"}
    return config.model_copy(
        update=same
        | {
            "encoder": counted_section(config.encoder),
            "mask": Component(name="random", ratio=0.5) if is_masked else None,
            "geometry": GeometrySection(image_px=image_px, masked_patch_px=math.gcd(*image_px) if is_masked else None),
            "loss": LossSection(name=config.loss.name),
            "images": ImagesSection(channels=config.images.channels, mean=config.images.mean, std=config.images.std),
            "train": TrainSettings(epochs=1, batch=1, base_lr=1),
        }
    )


def tokenizer_network(config: TokenizerConfig, precision: str = "fp32") -> Network:
    """A tokenizer in training."""
    return _counted_tokenizer(config.model_dump_json(), precision)


@functools.cache
def _counted_tokenizer(key: str, precision: str) -> Network:
    config = TokenizerConfig.model_validate_json(key)
    side = image_px_of(config)
    with torch.device("meta"):
        tokenizer = build_tokenizer(config)
    with on_fake_device(precision):
        moved(tokenizer)
        image = torch.empty(1, _RGB, side, side)
        encode = count(tokenizer, lambda: tokenizer.encode(image), precision)
        codes = tokenizer.encode(image)
        decode = count(tokenizer, lambda: tokenizer.decode(codes), precision)
    both = Part(encode.parameters, encode.forward_flops + decode.forward_flops, encode.kept_bytes + decode.kept_bytes)
    return Network(NO_PART, both)


@functools.cache
def _counted(key: str, checkpointed: bool, precision: str) -> Network:
    config = PretrainConfig.model_validate_json(key)
    sized = SizedEncoder(config.encoder, config.geometry.image_px, config.channels)
    with on_meta():
        tokenizer = build_tokenizer(config.tokenizer) if config.tokenizer else None
        method = build_method(config, tokenizer)
    kept_head = parameters_of(method.get_submodule(method.kept_head))
    with on_fake_device(precision):
        if isinstance(method, TeacherMethod):
            # One image has no batch statistics.
            network = _with_teacher(moved(method).eval(), sized, checkpointed, precision)
            return replace(network, head_parameters=kept_head)
        encoder, head = method.get_submodule(method.trained_encoder), moved(method.get_submodule(method.kept_head))
        features = torch.empty(1, encoder.width, *(side // encoder.stride for side in sized.image_px))
        codes = _encoding(moved(tokenizer), config.target) if tokenizer else NO_PART
        part = _head(head, features, precision)
        return Network(encoder_part(sized, precision), part, codes, checkpointed, head_parameters=kept_head)


def _head(head: nn.Module, features: Tensor, precision: str) -> Part:
    """A prediction head; the loss holds its prediction and the gradient of that."""
    made: list[Tensor] = []
    part = count(head, lambda: made.append(head(features)), precision)
    return part._replace(kept_bytes=part.kept_bytes + 2 * made[0].untyped_storage().nbytes())


def _encoding(tokenizer: nn.Module, target: Component) -> Part:
    """Making the codes of one image."""
    side = target.settings["resolution_px"] * tokenizer.factor
    return count(tokenizer, lambda: tokenizer.encode(torch.empty(1, _RGB, side, side)))


def _with_teacher(method: TeacherMethod, sized: SizedEncoder, checkpointed: bool, precision: str) -> Network:
    """A student that sees all views of an image and a teacher that sees those of the first group."""
    encoder = encoder_part(sized, precision)
    predictor = dict(method.named_children()).get("predictor", nn.Identity())
    student = nn.ModuleList([method.student, predictor])
    views = [view.image_px for group in method.views.values() for view in group]
    counts = {px: count(student, _seeing(method, predictor, sized, px), precision) for px in set(views)}
    taught = count(method.teacher, lambda: method.teacher(sized.image))
    seen = [counts[image_px] for image_px in views]
    groups = [group[0].image_px for group in method.views.values() if group]  # whose views are seen in one pass
    once = sum(counts[image_px].once_bytes for image_px in groups)
    once += WEIGHT_BYTES * seen[0].parameters  # a weight's gradient of one pass waits for that of the other
    rest = Part(
        seen[0].parameters - encoder.parameters,
        sum(each.forward_flops for each in seen) - encoder.forward_flops,
        sum(each.kept_bytes for each in seen) - encoder.kept_bytes,
        once_bytes=once - encoder.once_bytes,
    )
    taught_views = len(next(iter(method.views.values())))
    return Network(encoder, rest, taught._replace(forward_flops=taught_views * taught.forward_flops), checkpointed)


def _seeing(method: TeacherMethod, predictor: nn.Module, sized: SizedEncoder, image_px: tuple[int, int]) -> Callable:
    """The student's pass over a view of this size."""
    image = sized._replace(image_px=image_px).image
    return lambda: predictor(method.student(image))
