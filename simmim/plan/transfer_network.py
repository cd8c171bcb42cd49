"""The networks of evaluations: what is put on the encoder of a run, counted once for all runs that share it."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from simmim.config.start import encoder_section
from simmim.evaluate.attentive.classifier import AttentiveClassifier, tokens_of
from simmim.evaluate.detect.detector import Detector
from simmim.evaluate.detect.settings import DetectSettings
from simmim.evaluate.finetune.classifier import Classifier
from simmim.evaluate.segment.segmenter import Segmenter
from simmim.evaluate.segment.settings import SegmentSettings
from simmim.plan.network import (
    NO_PART,
    Network,
    Part,
    build_encoder,
    count,
    encoder_key,
    encoder_part,
    is_checkpointed,
    key_of,
    meta_image,
    parameters_of,
)

# torchvision draws at most this share of a detector's regions from those that hold an object; only they get a mask.
_REGIONS_WITH_OBJECT = 0.25


def transfer_network(config: Mapping[str, Any], pretraining: Mapping[str, Any], classes: int) -> Network:
    """What an evaluation makes of the encoder of a run, whose own config is `pretraining`, at its own input size."""
    section = encoder_section(pretraining, config)
    side, channels = config["settings"]["image_px"], len(pretraining["images"]["mean"])
    source = encoder_key(section), (side, side), channels
    if config["task"] in ("probe", "knn"):
        return _frozen(*source)
    if config["task"] == "attentive":
        values = config["settings"]
        return _attentive(*source, classes, values["block"], values["head_width"])
    if config["task"] == "finetune":
        return _classifier(*source, classes, is_checkpointed(section))
    return _dense(*source, classes, is_checkpointed(section), config["task"], key_of(config["settings"]))


@functools.cache
def _frozen(section: str, image_px: tuple[int, int], channels: int) -> Network:
    blocks = build_encoder(section, image_px, channels).block_features(meta_image(channels, image_px))
    widths = tuple(each.shape[1] for each in blocks)
    return Network(encoder_part(section, image_px, channels), NO_PART, block_widths=widths)


@functools.cache
def _classifier(section: str, image_px: tuple[int, int], channels: int, classes: int, checkpointed: bool) -> Network:
    encoder = encoder_part(section, image_px, channels)
    with torch.device("meta"):
        classifier = Classifier(build_encoder(section, image_px, channels), classes)
    head = Part(parameters_of(classifier) - encoder.parameters, 2 * classifier.head.weight.numel())
    return Network(encoder, head, checkpointed=checkpointed)


@functools.cache
def _attentive(
    section: str, image_px: tuple[int, int], channels: int, classes: int, block: int | None, head_width: int
) -> Network:
    """The encoder is not trained: its forward pass counts once, and nothing of it is kept."""
    frozen = encoder_part(section, image_px, channels)
    encoder, image = build_encoder(section, image_px, channels), meta_image(channels, image_px)
    tokens = tokens_of(encoder, image, block)
    with torch.device("meta"):
        classifier = AttentiveClassifier(nn.Identity(), tokens.shape[1], classes, None, head_width)
    head = count(classifier, lambda: classifier(tokens))
    return Network(NO_PART, head, unlearnt=frozen)


@functools.cache
def _dense(
    section: str, image_px: tuple[int, int], channels: int, classes: int, checkpointed: bool, task: str, settings: str
) -> Network:
    values, mean = json.loads(settings), [0.5] * channels
    encoder = build_encoder(section, image_px, channels)
    with torch.device("meta"):
        if task == "detect":
            network: nn.Module = Detector(encoder, mean, mean, classes, DetectSettings(**values))
        else:
            network = Segmenter(encoder, mean, mean, classes, SegmentSettings(**values))
    network.eval()  # one image has no batch statistics
    maps = [each.detach().requires_grad_() for each in encoder.feature_maps(meta_image(channels, image_px))]
    heads = _detector_heads if task == "detect" else _segmenter_heads
    counted = count(network, lambda: heads(network, maps, values))
    rest = counted._replace(parameters=counted.parameters - parameters_of(encoder))
    return Network(encoder_part(section, image_px, channels), rest, checkpointed=checkpointed)


def _detector_heads(detector: Detector, maps: list[Tensor], settings: Mapping[str, Any]) -> None:
    """The most that a training image can meet: all regions that are drawn, as many with a mask as there may be.

    `part` is the head inside its switch of number formats, which does not know the meta device.
    """
    detector.rpn.head.part(list(detector.pyramid(maps).values()))
    heads, regions, width = detector.roi_heads, settings["rois_per_image"], settings["fpn_channels"]
    heads.box_predictor.part(heads.box_head.part(torch.empty(regions, width, 7, 7, device="meta")))
    with_object = max(1, round(_REGIONS_WITH_OBJECT * regions))
    heads.mask_predictor.part(heads.mask_head.part(torch.empty(with_object, width, 14, 14, device="meta")))


def _segmenter_heads(segmenter: Segmenter, maps: list[Tensor], settings: Mapping[str, Any]) -> None:
    normed = segmenter.norms(maps)
    segmenter.classifier(segmenter.decoder([None, None, *normed]))
    segmenter.auxiliary(normed[-2])
