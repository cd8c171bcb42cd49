"""Mask R-CNN with a feature pyramid on a SimMIM encoder (COCO transfer, appendix C), built from torchvision's parts.

Against MMDetection, in which Swin's COCO results were made: RoIAlign is not aligned and takes 2 x 2 samples a bin,
the losses of boxes are smooth L1 with beta 1/9, and twice as many proposals of a level reach the suppression when
scoring. A small offset in AP is to be expected from that.

Shapes: b images, n objects or detections of an image; boxes are (x1, y1, x2, y2) in pixels.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.roi_heads import paste_masks_in_image
from torchvision.models.detection.transform import resize_boxes
from torchvision.ops import MultiScaleRoIAlign
from torchvision.ops.poolers import initLevelMapper

from simmim.evaluate.detect.settings import DetectSettings
from simmim.evaluate.precision import Float32Out, as_float32, autocast
from simmim.evaluate.pyramid import Pyramid, freeze_unused
from simmim.layers.normaliser import ImageNormaliser
from simmim.train.task import TrainTask


class Detector(TrainTask):
    """Encoder, feature pyramid, region proposal network, box head and mask head.

    Args:
        encoder: has `feature_maps(images)` and `levels`; registered first, so its parameters are `encoder.*`.
        mean, std: of the images the encoder was trained with, in [0, 1].
        classes: number of classes, background not counted.
    """

    own_autocast = True  # boxes and anchors must never be rounded: the loop passes the precision on, see below
    varying_shapes = True  # numbers of boxes

    def __init__(
        self, encoder: nn.Module, mean: Sequence[float], std: Sequence[float], classes: int, settings: DetectSettings
    ) -> None:
        super().__init__()
        freeze_unused(encoder)
        self.encoder = encoder
        self.normalise = ImageNormaliser(mean, std)
        self.pyramid = Pyramid(encoder.levels, settings.fpn_channels)
        parts = _heads(self.pyramid, [stride for _, stride in encoder.levels], classes + 1, settings)
        self.rpn, self.roi_heads = parts.rpn, parts.roi_heads
        self.rpn.head = Float32Out(self.rpn.head)
        for name in ("box_head", "box_predictor", "mask_head", "mask_predictor"):
            setattr(self.roi_heads, name, Float32Out(getattr(self.roi_heads, name)))
        self._autocast_dtype: torch.dtype | None = None

    @property
    def autocast_dtype(self) -> torch.dtype | None:
        """Number format inside the encoder and the heads; None is float32. Boxes stay float32 always."""
        return self._autocast_dtype

    @autocast_dtype.setter
    def autocast_dtype(self, dtype: torch.dtype | None) -> None:
        self._autocast_dtype = dtype
        for part in self.modules():
            if isinstance(part, Float32Out):
                part.dtype = dtype

    def forward(self, batch: Mapping[str, Any]) -> Tensor:
        """Sum of the five losses (objectness, proposal boxes, classes, boxes, masks).

        Args:
            batch: `images` uint8 [b, 3, H, W]; `targets`: b dicts of `boxes` float32 [n, 4], `labels` int64 [n]
                from 1, `masks` uint8 [n, H, W]. An image without objects is allowed.
        """
        images, targets = batch["images"], batch["targets"]
        sizes = [tuple(images.shape[-2:])] * len(images)
        features = self._features(images)
        proposals, rpn_losses = self.rpn(ImageList(images, sizes), features, targets)
        _, head_losses = self.roi_heads(features, proposals, sizes, targets)
        return sum((rpn_losses | head_losses).values())

    @torch.no_grad()
    def predict(self, batch: Mapping[str, Any]) -> list[dict[str, Tensor]]:
        """Detections in the pixels of the stored images; the module must be in evaluation mode.

        Args:
            batch: `images` uint8 [b, 3, H, W]; `shown_sizes`: (h, w) of the picture in the upper left corner of
                each; `stored_sizes`: (h, w) of the image it was scaled from.

        Returns:
            b dicts of `boxes` float32 [n, 4], `labels` int64 [n], `scores` float32 [n], `masks` bool [n, h, w], in host
            memory.
        """
        assert not self.training, "predict needs evaluation mode"
        images, shown = batch["images"], batch["shown_sizes"]
        features = self._features(images)
        proposals, _ = self.rpn(ImageList(images, shown), features)
        found, _ = self.roi_heads(features, proposals, shown)
        return [_in_stored_pixels(*each) for each in zip(found, shown, batch["stored_sizes"])]

    def _features(self, images: Tensor) -> OrderedDict[str, Tensor]:
        with autocast(images.device, self._autocast_dtype):
            return as_float32(self.pyramid(self.encoder.feature_maps(self.normalise(images))))


class Anchors(AnchorGenerator):
    """Three anchors in every cell of every level, at the levels' true strides.

    torchvision divides the image by the cells instead, which rounds where the cells were padded: 72 px make 5 cells at
    stride 16, and it would place them every 14 px.
    """

    def __init__(self, strides: Sequence[int], scale: float) -> None:
        super().__init__([(scale * stride,) for stride in strides], [(0.5, 1.0, 2.0)] * len(strides))
        self._strides = list(strides)

    def forward(self, image_list: ImageList, feature_maps: list[Tensor]) -> list[Tensor]:
        """Boxes float32 [cells * 3, 4] of all levels, the same for every image."""
        device = feature_maps[0].device
        self.set_cell_anchors(torch.float32, device)
        grids = [list(level.shape[-2:]) for level in feature_maps]
        steps = [[stride] * 2 for stride in self._strides]
        return [torch.cat(self.grid_anchors(grids, steps))] * len(image_list.image_sizes)


def _heads(pyramid: Pyramid, strides: list[int], outputs: int, settings: DetectSettings) -> MaskRCNN:
    """torchvision's Mask R-CNN, of which only the proposal network and the heads are used."""
    channels, width = pyramid.out_channels, settings.mask_width
    return MaskRCNN(
        pyramid,
        rpn_anchor_generator=Anchors([*strides, 2 * strides[-1]], settings.anchor_scale),
        rpn_pre_nms_top_n_train=2 * settings.proposals,
        rpn_pre_nms_top_n_test=2 * settings.proposals,
        rpn_post_nms_top_n_train=settings.proposals,
        rpn_post_nms_top_n_test=settings.proposals,
        rpn_batch_size_per_image=settings.anchors_per_image,
        box_roi_pool=_pooler(strides, 7, settings.anchor_scale),
        box_head=TwoMLPHead(channels * 7 * 7, settings.box_width),
        box_predictor=FastRCNNPredictor(settings.box_width, outputs),
        box_score_thresh=settings.score_threshold,
        box_detections_per_img=settings.detections_per_image,
        box_batch_size_per_image=settings.rois_per_image,
        mask_roi_pool=_pooler(strides, 14, settings.anchor_scale),
        mask_head=MaskRCNNHeads(channels, (width,) * settings.mask_layers, dilation=1),
        mask_predictor=MaskRCNNPredictor(width, width, outputs),
    )


def _pooler(strides: list[int], output_px: int, anchor_scale: float) -> MultiScaleRoIAlign:
    """RoIAlign over the levels. A region of 7 anchors' side at stride 4 (224 px by default) is read at stride 16.

    The scales are set here: left to itself, torchvision derives them once and for all from the first images'
    sizes, and finds 1/2 instead of 1/4 where these are padded to more than 1.4 times their height.
    """
    canonical_px = 28 * anchor_scale
    pooler = MultiScaleRoIAlign([str(index) for index in range(len(strides))], output_px, 2)
    pooler.scales = [1 / stride for stride in strides]
    first, last = (int(math.log2(stride)) for stride in (strides[0], strides[-1]))
    pooler.map_levels = initLevelMapper(first, last, canonical_scale=canonical_px, canonical_level=4)
    return pooler


def _in_stored_pixels(found: dict[str, Tensor], shown: tuple[int, int], stored: tuple[int, int]) -> dict[str, Tensor]:
    """In host memory: each of a hundred masks asks for its box a dozen times, each time waiting for a GPU."""
    found = {name: value.cpu() for name, value in found.items()}
    boxes = resize_boxes(found["boxes"], shown, stored)
    masks = paste_masks_in_image(found["masks"], boxes, stored)[:, 0] > 0.5  # [n, h, w]
    return {"boxes": boxes, "labels": found["labels"], "scores": found["scores"], "masks": masks}
