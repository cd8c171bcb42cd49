"""What every method of pre-training is, with the defaults of what few of them need (`simmim.methods` has the contract).

Shapes: b images, c channels, H W pixels, h w tokens.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from simmim.data.shards import Shards
from simmim.train.task import TrainData, TrainTask


class Method(TrainTask):
    """What one step of a pre-training does, on which data, and what is kept of it.

    Attributes:
        trained_encoder: dotted name of the encoder that the optimiser moves.
        kept_encoder, kept_head: dotted names of the parts that are written to files.
        has_teacher: whether a second network follows the trained one.
    """

    trained_encoder: ClassVar[str]
    kept_encoder: ClassVar[str]
    kept_head: ClassVar[str]
    has_teacher: ClassVar[bool] = False

    @abstractmethod
    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Mean loss, a scalar, of a batch of `dataset`, whose images are [b, ..., c, H, W], from 0 to 255."""

    @abstractmethod
    def dataset(self, shards: Shards, seed: int) -> TrainData:
        """The training data; equal seeds give equal batches for any number of workers or processes."""

    def validate(self, shards: Shards, dtype: torch.dtype | None) -> dict[str, float]:
        """Losses on images that were not trained on, by metric.

        Args:
            dtype: number format of the network, None for float32.
        """
        return {}

    def reconstruct(self, images: Tensor, hidden: Tensor) -> Tensor | None:
        """Its prediction in place of the images, in their channels and type.

        Args:
            images: whole images [b, c, H, W], uint8 or float from 0 to 255.
            hidden: bool [b, h, w], True = hidden.
        """
        return None
