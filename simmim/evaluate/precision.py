"""Lower precision inside the parts of a network that bear it, and float32 between them."""

from __future__ import annotations

from collections import OrderedDict
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn


def autocast(device: torch.device, dtype: torch.dtype | None) -> AbstractContextManager:
    """Autocast to `dtype`; with None, float32 even inside someone else's autocast."""
    return torch.autocast(device.type, dtype or torch.bfloat16, enabled=dtype is not None)


def as_float32(value: Any) -> Any:
    """The same tensor, list, tuple or ordered dict of tensors in float32."""
    if torch.is_tensor(value):
        return value.float()
    if isinstance(value, dict):
        return OrderedDict((key, as_float32(item)) for key, item in value.items())
    return type(value)(as_float32(item) for item in value)


class Float32Out(nn.Module):
    """Runs `part` under autocast to `dtype` and returns float32.

    torchvision's detector gives anchors and boxes the number format of the features they come with; in bfloat16
    a coordinate near 1000 is rounded to a multiple of 4.
    """

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.part = part
        self.dtype: torch.dtype | None = None

    def forward(self, features: Tensor | list[Tensor]) -> Any:
        device = (features if torch.is_tensor(features) else features[0]).device
        with autocast(device, self.dtype):
            return as_float32(self.part(features))
