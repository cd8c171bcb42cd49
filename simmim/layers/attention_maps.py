"""Looking at the attention that a network computes, for as long as a block of code runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

_SOFTMAX = (F.softmax, torch.softmax, torch.Tensor.softmax)


class AttentionMaps(TorchFunctionMode):
    """Shows the weights of every attention to a function: the very softmax that the network computes.

    No module is changed and none has to know of it. A fused kernel does not leave its weights: these are computed from
    its own queries, keys and bias.

    Args:
        seen: is given the weights, over whose last dimension the softmax was taken, and their number from 0.
    """

    def __init__(self, seen: Callable[[Tensor, int], Any]) -> None:
        super().__init__()
        self._seen, self._number = seen, 0

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if func in _SOFTMAX:
            self._show(result)
        elif func is F.scaled_dot_product_attention:
            self._show(_weights(*args, **kwargs))
        return result

    def _show(self, weights: Tensor) -> None:
        self._seen(weights, self._number)
        self._number += 1


def _weights(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, *, scale: float | None = None, **_: Any
) -> Tensor:
    """Weights of `scaled_dot_product_attention` with an additive mask, without dropout: [..., queries, keys]."""
    scores = query @ key.transpose(-2, -1) * (query.shape[-1] ** -0.5 if scale is None else scale)
    return (scores if attn_mask is None else scores + attn_mask).softmax(dim=-1)
