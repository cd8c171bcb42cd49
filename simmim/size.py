"""How large a network is and what one image costs, counted from the code that runs (Table 8)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


class Size(NamedTuple):
    """Parameters, and multiply-adds of the forward pass of one image (what the paper calls FLOPs)."""

    parameters: int
    macs: int


def model_size(network: nn.Module, image_px: tuple[int, int], in_channels: int = 3) -> Size:
    """Size of a network; built on the meta device (`with torch.device("meta")`) it takes neither memory nor time.

    Args:
        network: an encoder, a classifier or anything else that is called with images, or a `SimMIM`, whose
            reconstruction is counted.
        image_px: height and width of the input.
    """
    device = next(network.parameters()).device
    images = torch.zeros(1, in_channels, *image_px, device=device)
    if hasattr(network, "reconstruct"):
        hidden = torch.zeros(1, *network.geometry.tokens, dtype=torch.bool, device=device)
        macs = count_macs(lambda: network.reconstruct(images, hidden))
    else:
        macs = count_macs(lambda: network(images))
    return Size(sum(parameter.numel() for parameter in network.parameters()), macs)


def count_macs(run: Callable[[], Any]) -> int:
    """Multiply-adds of the matrix products and convolutions of whatever `run` does, gradients not included."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops() // 2
