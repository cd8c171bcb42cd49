"""Settings of the task. Torch-free.

The defaults are the paper's where it says, else those of torchvision and of the published Mask R-CNN and UPerNet.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, model_validator

from simmim.config.ranges import Factors
from simmim.config.sections import TaskSettings
from simmim.config.training import TrainSettings


class SegmentSettings(TaskSettings):
    """UPerNet with an auxiliary FCN head on an encoder.

    Args:
        image_px: side of the square crop that training sees; scoring takes whole images with this short side.
        long_side_limit: the longer side never exceeds this many `image_px` (4: the 512 x 2048 of ADE20K).
        scale_range: a training image's short side is `image_px` times a number drawn from this range.
        flip: probability of mirroring a training image left to right.
        max_class_share: another crop is tried, ten times at most, while one class has this share of the labelled
            pixels; 1 takes the first.
        distort_colours: change brightness, contrast, saturation and hue of training images.
        decoder_channels: width of the pyramid pooling and of the pyramid.
        auxiliary_channels: width of the auxiliary head on the second coarsest level.
        auxiliary_weight: weight of its loss.
        dropout: share of channels dropped before each classifier.
        score_scales: the probabilities of every pixel are averaged over these scales of the whole image; 1 is among
            them and gives the single-scale score.
        score_flip: average over the mirror images too.
        score_batch: images at once when scoring, where they have the same size; fewer where they do not fit the memory.
    """

    label: ClassVar[str] = "segmentation"
    is_dense: ClassVar[bool] = True

    image_px: int = Field(default=512, ge=16)
    long_side_limit: float = Field(default=4.0, ge=1)
    scale_range: Factors = (0.5, 2.0)
    flip: float = Field(default=0.5, ge=0, le=1)
    max_class_share: float = Field(default=0.75, gt=0, le=1)
    distort_colours: bool = True
    decoder_channels: int = Field(default=512, ge=1)
    auxiliary_channels: int = Field(default=256, ge=1)
    auxiliary_weight: float = Field(default=0.4, ge=0)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    score_scales: tuple[float, ...] = (1.0,)
    score_flip: bool = False
    score_batch: int = Field(default=2, ge=1)

    @model_validator(mode="after")
    def _check(self) -> SegmentSettings:
        if 1 not in self.score_scales or min(self.score_scales) <= 0:
            raise ValueError(f"score_scales {list(self.score_scales)} must be numbers above 0, 1 among them")
        return self

    def check_training(self, training: TrainSettings, processes: int = 1) -> None:
        if training.batch == 1:  # a batch of several in micro-batches of 1 may be spread over GPUs
            raise ValueError("UPerNet's batch norms need two images at once; train.batch=1 must be at least 2")
