"""Settings of the task. Torch-free.

The defaults are the paper's where it says, else those of torchvision and of the published Mask R-CNN and UPerNet.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from simmim.config.ranges import Factors
from simmim.config.sections import TaskSettings


class DetectSettings(TaskSettings):
    """Mask R-CNN with a feature pyramid on an encoder.

    Args:
        image_px: side of the square that training sees, and that a whole image is fitted into for scoring.
        scale_jitter: a training image is fitted into `image_px` times a number drawn from this range.
        flip: probability of mirroring a training image left to right.
        fpn_channels: width of the feature pyramid.
        anchor_scale: side of the square anchor in strides of its level (8: 32 px at stride 4).
        anchors_per_image: anchors drawn for the loss of the proposal network.
        proposals: proposals kept after non-maximum suppression; twice as many per level enter it.
        rois_per_image: proposals drawn for the loss of the box head.
        box_width: width of the two fully connected layers of the box head.
        mask_width: channels of the mask head.
        mask_layers: 3 x 3 convolutions of the mask head.
        score_threshold: detections below are dropped.
        detections_per_image: the most that are kept of an image, those of the highest scores.
        score_batch: images at once when scoring, half of it where they do not fit the memory, and so on.
    """

    label: ClassVar[str] = "detection"
    is_dense: ClassVar[bool] = True

    image_px: int = Field(default=1024, ge=16)
    scale_jitter: Factors = (0.1, 2.0)
    flip: float = Field(default=0.5, ge=0, le=1)
    fpn_channels: int = Field(default=256, ge=1)
    anchor_scale: float = Field(default=8.0, gt=0)
    anchors_per_image: int = Field(default=256, ge=1)
    proposals: int = Field(default=1000, ge=1)
    rois_per_image: int = Field(default=512, ge=1)
    box_width: int = Field(default=1024, ge=1)
    mask_width: int = Field(default=256, ge=1)
    mask_layers: int = Field(default=4, ge=1)
    score_threshold: float = Field(default=0.05, ge=0, lt=1)
    detections_per_image: int = Field(default=100, ge=1)
    score_batch: int = Field(default=2, ge=1)
