"""What detection and segmentation add to their encoder; importing this registers them, and needs the extra `dense`."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from simmim.config.sections import TaskSettings
from simmim.evaluate.detect.detector import Detector
from simmim.evaluate.detect.settings import DetectSettings
from simmim.evaluate.segment.segmenter import Segmenter, pixel_loss
from simmim.planning.counting import WEIGHT_BYTES, Part, count, faked, moved
from simmim.planning.heads import heads_of
from simmim.planning.network import on_meta

# torchvision draws at most this share of a detector's regions from those that hold an object; only they get a mask.
_REGIONS_WITH_OBJECT = 0.25


@heads_of.register
def _(module: Detector, settings: DetectSettings, encoder: nn.Module, image: Tensor, precision: str) -> Part:
    """The most that a training image can meet: all regions that are drawn, as many with a mask as there may be.

    `part` is the head inside its switch of number formats, which does not know the meta device.
    """
    maps, heads = _maps(encoder, image), _without_encoder(module).roi_heads
    regions, width = settings.rois_per_image, settings.fpn_channels
    with_object = max(1, round(_REGIONS_WITH_OBJECT * regions))

    def run() -> None:
        module.rpn.head.part(list(module.pyramid(_fakes(maps)).values()))
        heads.box_predictor.part(heads.box_head.part(torch.empty(regions, width, 7, 7)))
        heads.mask_predictor.part(heads.mask_head.part(torch.empty(with_object, width, 14, 14)))

    return count(module, run, precision)


@heads_of.register
def _(module: Segmenter, settings: TaskSettings, encoder: nn.Module, image: Tensor, precision: str) -> Part:
    """Its losses are taken at every pixel of the image."""
    maps, classes = _maps(encoder, image), _without_encoder(module).classifier[-1].out_channels

    def run() -> None:
        normed, labels = module.norms(_fakes(maps)), torch.zeros(1, *image.shape[-2:], dtype=torch.int64)
        for logits in (module.classifier(module.decoder([None, None, *normed])), module.auxiliary(normed[-2])):
            pixel_loss(logits, labels)

    part = count(module, run, precision)
    gradients = 2 * WEIGHT_BYTES * classes * math.prod(image.shape[-2:])  # of whole logits
    return part._replace(kept_bytes=part.kept_bytes + gradients)


def _maps(encoder: nn.Module, image: Tensor) -> list[Tensor]:
    """Feature maps that the heads are counted on by themselves, on the meta device."""
    with on_meta():
        return encoder.feature_maps(image)


def _fakes(maps: list[Tensor]) -> list[Tensor]:
    """Maps on the fake device; what autocast would make of them does not matter, heads begin with a cast of theirs."""
    return [faked(each, requires_grad=True) for each in maps]


def _without_encoder(module: nn.Module) -> nn.Module:
    """The module itself with its heads alone, on the fake device."""
    module.encoder = nn.Identity()
    return moved(module)
