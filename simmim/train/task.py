"""What the loop asks of a task and of its data: every task inherits from `TrainTask`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from simmim.rng import Key


class TrainTask(nn.Module, ABC):
    """A module whose `forward(batch)` is the mean loss of a batch.

    Attributes:
        own_autocast: whether the task applies `autocast_dtype` itself, to some of its parts; otherwise the loop runs
            all of `forward` under autocast.
        whole_batch: whether the loss compares an update's images with each other. `forward` then gets all micro-batches
            of the update at once and takes `images_at_once` of their images through the network at a time.
        varying_shapes: whether parts of the network see other sizes in every batch (boxes of images, say).
        autocast_dtype: number format of the training, set by the loop; None is float32.
        images_at_once: images of a micro-batch, set by the loop; None is all that there are.
    """

    own_autocast: ClassVar[bool] = False
    whole_batch: ClassVar[bool] = False
    varying_shapes: ClassVar[bool] = False
    autocast_dtype: torch.dtype | None = None
    images_at_once: int | None = None

    @abstractmethod
    def forward(self, batch: dict[str, Any]) -> Tensor:
        """Mean loss of a batch, a scalar."""

    def after_update(self, step: int, steps: int) -> None:
        """Called when `step` of `steps` updates are done; does nothing by default."""


class TrainData(Protocol):
    """Samples that are read a batch at a time."""

    @property
    def sample_ids(self) -> Sequence[str]:
        """Name of every sample, for messages."""

    def __len__(self) -> int: ...

    def __getitems__(self, keys: Sequence[Key]) -> dict[str, Any]:
        """A whole batch, a dict of tensors and lists; an (epoch, sample) always gives the same."""
