"""The networks of evaluations: what is put on the encoder of a run, counted once for all runs that share it."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from simmim import plugin
from simmim.config.evaluate_models import EvaluateConfig
from simmim.config.models import PretrainConfig
from simmim.config.sections import TaskSettings, sides
from simmim.evaluate.attentive.classifier import AttentiveClassifier, tokens_of
from simmim.evaluate.attentive.settings import AttentiveSettings
from simmim.evaluate.classifier_training import ClassifierTraining
from simmim.evaluate.detect.detector import Detector
from simmim.evaluate.detect.settings import DetectSettings
from simmim.evaluate.finetune.classifier import Classifier
from simmim.evaluate.segment.segmenter import Segmenter, pixel_loss
from simmim.evaluate.task import Inputs
from simmim.planning.counting import NO_PART, WEIGHT_BYTES, Part, count, moved, on_fake_device, parameters_of
from simmim.planning.network import (
    Network,
    SizedEncoder,
    build_encoder,
    counted_section,
    encoder_part,
    is_checkpointed,
    on_meta,
)

# torchvision draws at most this share of a detector's regions from those that hold an object; only they get a mask.
_REGIONS_WITH_OBJECT = 0.25


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
    if config.settings.reads_features:
        return _frozen(sized, precision)
    return _counted(config.task, config.settings, sized, classes, is_checkpointed(section), precision)


@functools.cache
def _frozen(sized: SizedEncoder, precision: str) -> Network:
    with on_fake_device(precision):
        blocks = moved(build_encoder(sized)).block_features(sized.image)
    return Network(encoder_part(sized, precision), NO_PART, block_widths=tuple(each.shape[1] for each in blocks))


def build_transfer(task: str, settings: TaskSettings, sized: SizedEncoder, classes: int) -> tuple[nn.Module, nn.Module]:
    """A new encoder and what a task with heads trains on it, on the meta device.

    Raises:
        ValueError: for an encoder that the task cannot use.
    """
    mean = [0.5] * sized.channels
    with on_meta():
        encoder = plugin.build("encoders", sized.section, image_px=sized.image_px, in_channels=sized.channels)
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
    with on_fake_device(precision):
        # One image has no batch statistics.
        heads = _heads(moved(module).eval(), settings, encoder, sized.image, precision)
    if any(parameter.requires_grad for parameter in encoder.parameters()):
        return Network(encoder_part(sized, precision), heads, checkpointed=checkpointed)
    return Network(NO_PART, heads, unlearnt=encoder_part(sized, precision))


@functools.singledispatch
def _heads(module: nn.Module, settings: TaskSettings, encoder: nn.Module, image: Tensor, precision: str) -> Part:
    """What a module adds to its encoder; the FLOPs of one that is unknown here are those of its encoder alone."""
    return Part(parameters_of(module) - parameters_of(encoder))


@_heads.register
def _(module: ClassifierTraining, settings: TaskSettings, encoder: nn.Module, image: Tensor, precision: str) -> Part:
    return _heads(module.classifier, settings, encoder, image, precision)


@_heads.register
def _(module: Classifier, settings: TaskSettings, encoder: nn.Module, image: Tensor, precision: str) -> Part:
    return Part(parameters_of(module) - parameters_of(encoder), 2 * module.head.weight.numel())


@_heads.register
def _(
    module: AttentiveClassifier, settings: AttentiveSettings, encoder: nn.Module, image: Tensor, precision: str
) -> Part:
    tokens = tokens_of(encoder, image, settings.block)
    classes, width = module.head.weight.shape
    with on_meta():
        head = moved(AttentiveClassifier(nn.Identity(), width, classes, None, settings.head_width))
    return count(head, lambda: head(tokens), precision)


@_heads.register
def _(module: Detector, settings: DetectSettings, encoder: nn.Module, image: Tensor, precision: str) -> Part:
    """The most that a training image can meet: all regions that are drawn, as many with a mask as there may be.

    `part` is the head inside its switch of number formats, which does not know the meta device.
    """
    maps, heads = _maps(encoder, image), module.roi_heads
    regions, width = settings.rois_per_image, settings.fpn_channels
    with_object = max(1, round(_REGIONS_WITH_OBJECT * regions))

    def run() -> None:
        module.rpn.head.part(list(module.pyramid(maps).values()))
        heads.box_predictor.part(heads.box_head.part(torch.empty(regions, width, 7, 7)))
        heads.mask_predictor.part(heads.mask_head.part(torch.empty(with_object, width, 14, 14)))

    return _without(encoder, count(module, run, precision))


@_heads.register
def _(module: Segmenter, settings: TaskSettings, encoder: nn.Module, image: Tensor, precision: str) -> Part:
    """Its losses are taken at every pixel of the image."""
    maps, classes = _maps(encoder, image), module.classifier[-1].out_channels
    labels = torch.zeros(1, *image.shape[-2:], dtype=torch.int64)

    def run() -> None:
        normed = module.norms(maps)
        for logits in (module.classifier(module.decoder([None, None, *normed])), module.auxiliary(normed[-2])):
            pixel_loss(logits, labels)

    part = _without(encoder, count(module, run, precision))
    gradients = 2 * WEIGHT_BYTES * classes * labels.numel()  # of whole logits
    return part._replace(kept_bytes=part.kept_bytes + gradients)


def _maps(encoder: nn.Module, image: Tensor) -> list[Tensor]:
    """Feature maps that the heads are counted on by themselves."""
    return [each.detach().requires_grad_() for each in encoder.feature_maps(image)]


def _without(encoder: nn.Module, counted: Part) -> Part:
    return counted._replace(parameters=counted.parameters - parameters_of(encoder))
