"""The networks of evaluations: what is put on the encoder of a run, counted once for all runs that share it."""

from __future__ import annotations

import functools
import importlib
from dataclasses import dataclass

import torch
from torch import nn

from simmim import plugin
from simmim.config.evaluate_models import EvaluateConfig
from simmim.config.models import PretrainConfig
from simmim.config.sections import TaskSettings, sides
from simmim.evaluate.task import Inputs
from simmim.planning.counting import NO_PART
from simmim.planning.heads import heads_of
from simmim.planning.network import (
    Network,
    SizedEncoder,
    build_encoder,
    counted_section,
    encoder_part,
    is_checkpointed,
    on_meta,
)


@dataclass(frozen=True)
class _Labelled:
    """All that a task asks of a data set while it builds its network."""

    classes: list[str]


def transfer_network(
    config: EvaluateConfig, pretraining: PretrainConfig, classes: int, precision: str = "fp32"
) -> Network:
    """What an evaluation makes of the encoder of a run, whose own config is `pretraining`, at its own input size.

    Args:
        precision: "fp32" or "bf16", in which activations are counted.
    """
    section = config.encoder_of(pretraining)
    sized = SizedEncoder(counted_section(section), sides(config.settings.image_px), pretraining.channels)
    if not config.settings.trains or config.settings.reads_features:
        return _frozen(sized, precision)
    return _counted(config.task, config.settings, sized, classes, is_checkpointed(section), precision)


@functools.cache
def _frozen(sized: SizedEncoder, precision: str) -> Network:
    with on_meta():
        blocks = build_encoder(sized).block_features(sized.image)
    return Network(encoder_part(sized, precision), NO_PART, block_widths=tuple(each.shape[1] for each in blocks))


def build_transfer(
    task: str, settings: TaskSettings, sized: SizedEncoder, classes: int
) -> tuple[nn.Module, nn.Module | None]:
    """A new encoder and what a task trains on it (None for one that trains nothing), on the meta device.

    Raises:
        ValueError: for an encoder that the task cannot use.
    """
    mean = [0.5] * sized.channels
    encoder = build_encoder(sized)
    with on_meta():
        sets = {"train": _Labelled([str(number) for number in range(classes)])}
        header = {"mean": mean, "std": mean}
        inputs = Inputs(settings, None, 0, torch.device("meta"), sets, encoder, header)
        return encoder, plugin.task(task)(inputs).module()


@functools.cache
def _counted(
    task: str, settings: TaskSettings, sized: SizedEncoder, classes: int, checkpointed: bool, precision: str
) -> Network:
    """The network of a task with heads; an encoder that it does not train keeps nothing for the backward pass."""
    encoder, module = build_transfer(task, settings, sized, classes)
    if settings.is_dense:
        importlib.import_module("simmim.planning.dense_heads")  # registers them; needs the extra `dense`
    with on_meta():
        image = sized.image
    heads = heads_of(module.eval(), settings, encoder, image, precision)  # one image has no batch statistics
    if any(parameter.requires_grad for parameter in encoder.parameters()):
        return Network(encoder_part(sized, precision), heads, checkpointed=checkpointed)
    return Network(NO_PART, heads, unlearnt=encoder_part(sized, precision))
