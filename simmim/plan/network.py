"""Networks of the jobs to come, counted on the meta device: parameters, FLOPs, what the backward pass keeps.

A multiply-add is two FLOPs. Matrix products and convolutions count, what they are surrounded by does not.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from simmim import plugin
from simmim.evaluate.classifier import Classifier
from simmim.evaluate.dense_settings import DetectSettings, SegmentSettings
from simmim.evaluate.detector import Detector
from simmim.evaluate.segmenter import Segmenter
from simmim.pretrain import build_task, side_pair
from simmim.size import count_macs

# Of the activations, what is left where blocks are computed again: their inputs, and all of one block at a time.
_KEPT_BY_CHECKPOINTING = 0.2
# torchvision draws at most this share of a detector's regions from those that hold an object; only they get a mask.
_REGIONS_WITH_OBJECT = 0.25


class Part(NamedTuple):
    """A part of a network and one image through it: `kept_bytes` is what a backward pass needs, in float32."""

    parameters: int = 0
    forward_flops: int = 0
    kept_bytes: int = 0


@dataclass(frozen=True)
class Network:
    """One image through a network.

    Args:
        encoder: the encoder at the input size of the job.
        rest: everything else that is trained.
        unlearnt_flops: forward pass of what makes the target, if it is a network.
        checkpointed: whether the encoder computes its blocks again for the gradient.
        block_widths: channels of every block, for a probe of all blocks.
    """

    encoder: Part
    rest: Part
    unlearnt_flops: int = 0
    checkpointed: bool = False
    block_widths: tuple[int, ...] = ()

    @property
    def parameters(self) -> int:
        """Of the whole network."""
        return self.encoder.parameters + self.rest.parameters

    @property
    def forward_flops(self) -> int:
        """Of one forward pass of the trained network."""
        return self.encoder.forward_flops + self.rest.forward_flops

    @property
    def train_flops(self) -> int:
        """Of one image in training: the backward pass is twice the forward pass, checkpointing another one."""
        again = self.encoder.forward_flops if self.checkpointed else 0
        return 3 * self.forward_flops + again + self.unlearnt_flops

    @property
    def kept_bytes(self) -> float:
        """Activations that the backward pass of one image needs, in float32."""
        return self.encoder.kept_bytes * (_KEPT_BY_CHECKPOINTING if self.checkpointed else 1) + self.rest.kept_bytes


def pretraining_network(config: Mapping[str, Any]) -> Network:
    """What a pre-training config describes, with its head, at its input size."""
    kept = {key: config[key] for key in ("encoder", "head", "target", "loss", "geometry", "images")}
    return _pretraining(_key(kept | {"encoder": _as_counted(config["encoder"])}), _checkpointed(config["encoder"]))


def transfer_network(config: Mapping[str, Any], pretraining: Mapping[str, Any], classes: int) -> Network:
    """What an evaluation makes of the encoder of a run, whose own config is `pretraining`, at its own input size."""
    section = dict(pretraining["encoder"]) | config["encoder"]
    side, channels = config["settings"]["image_px"], len(pretraining["images"]["mean"])
    source = _key(_as_counted(section)), (side, side), channels
    if config["task"] in ("probe", "knn"):
        return _frozen(*source)
    if config["task"] == "finetune":
        return _classifier(*source, classes, _checkpointed(section))
    return _dense(*source, classes, _checkpointed(section), config["task"], _key(config["settings"]))


@functools.cache
def _pretraining(key: str, checkpointed: bool) -> Network:
    config = json.loads(key)
    image_px, channels = side_pair(config["geometry"]["image_px"]), len(config["images"]["mean"])
    with torch.device("meta"):
        model = build_task(config).model
        features = torch.empty(1, model.encoder.width, *(side // model.encoder.stride for side in image_px))
    encoder = _encoder(_key(config["encoder"]), image_px, channels)
    return Network(encoder, _count(model.head, lambda: model.head(features)), checkpointed=checkpointed)


@functools.cache
def _frozen(section: str, image_px: tuple[int, int], channels: int) -> Network:
    encoder = _build(section, image_px, channels)
    widths = tuple(each.shape[1] for each in encoder.block_features(_image(channels, image_px)))
    return Network(_encoder(section, image_px, channels), Part(), block_widths=widths)


@functools.cache
def _classifier(section: str, image_px: tuple[int, int], channels: int, classes: int, checkpointed: bool) -> Network:
    encoder = _encoder(section, image_px, channels)
    with torch.device("meta"):
        classifier = Classifier(_build(section, image_px, channels), classes)
    parameters = sum(each.numel() for each in classifier.parameters())
    head = Part(parameters - encoder.parameters, 2 * classifier.head.weight.numel())
    return Network(encoder, head, checkpointed=checkpointed)


@functools.cache
def _dense(
    section: str, image_px: tuple[int, int], channels: int, classes: int, checkpointed: bool, task: str, settings: str
) -> Network:
    values, mean = json.loads(settings), [0.5] * channels
    images = torch.empty(1, channels, *image_px, dtype=torch.uint8, device="meta")
    with torch.device("meta"):
        built = _build(section, image_px, channels)
        if task == "detect":
            network: nn.Module = Detector(built, mean, mean, classes, DetectSettings(**values))
        else:
            network = Segmenter(built, mean, mean, classes, SegmentSettings(**values))
    network.eval()  # one image has no batch statistics
    forward = _detector_forward if task == "detect" else _segmenter_forward
    whole = _count(network, lambda: forward(network, images, values))
    encoder = _count(built, lambda: built.feature_maps(network.normalise(images)))
    return Network(encoder, Part(*(a - b for a, b in zip(whole, encoder))), checkpointed=checkpointed)


def _detector_forward(detector: Detector, images: Tensor, settings: Mapping[str, Any]) -> None:
    """The most that a training image can meet: all regions that are drawn, as many with a mask as there may be.

    `part` is the head inside its switch of number formats, which does not know the meta device.
    """
    maps = detector.pyramid(detector.encoder.feature_maps(detector.normalise(images)))
    detector.rpn.head.part(list(maps.values()))
    heads, regions, width = detector.roi_heads, settings["rois_per_image"], settings["fpn_channels"]
    heads.box_predictor.part(heads.box_head.part(torch.empty(regions, width, 7, 7, device="meta")))
    with_object = max(1, round(_REGIONS_WITH_OBJECT * regions))
    heads.mask_predictor.part(heads.mask_head.part(torch.empty(with_object, width, 14, 14, device="meta")))


def _segmenter_forward(segmenter: Segmenter, images: Tensor, settings: Mapping[str, Any]) -> None:
    maps = segmenter.norms(segmenter.encoder.feature_maps(segmenter.normalise(images)))
    segmenter.classifier(segmenter.decoder([None, None, *maps]))
    segmenter.auxiliary(maps[-2])


@functools.cache
def _encoder(section: str, image_px: tuple[int, int], channels: int) -> Part:
    encoder = _build(section, image_px, channels)
    return _count(encoder, lambda: encoder(_image(channels, image_px)))


def _build(section: str, image_px: tuple[int, int], channels: int) -> nn.Module:
    with torch.device("meta"):
        return plugin.build("encoders", json.loads(section), image_px=image_px, in_channels=channels)


def _count(network: nn.Module, run: Callable[[], Any]) -> Part:
    """Size of a network on the meta device and of one run of it."""
    weights = {each.untyped_storage()._cdata for each in network.parameters()}
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept.setdefault(tensor.untyped_storage()._cdata, tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        flops = 2 * count_macs(torch.enable_grad()(run))
    kept_bytes = sum(each.untyped_storage().nbytes() for place, each in kept.items() if place not in weights)
    return Part(sum(each.numel() for each in network.parameters()), flops, kept_bytes)


def _image(channels: int, image_px: tuple[int, int]) -> Tensor:
    return torch.empty(1, channels, *image_px, device="meta")


def _as_counted(section: Mapping[str, Any]) -> dict[str, Any]:
    """An encoder's section without what changes neither its size nor the FLOPs of one forward pass."""
    return {key: value for key, value in section.items() if key not in ("drop_path", "checkpoint_activations")}


def _checkpointed(section: Mapping[str, Any]) -> bool:
    return bool(section.get("checkpoint_activations"))


def _key(section: Mapping[str, Any]) -> str:
    return json.dumps(section, sort_keys=True)
