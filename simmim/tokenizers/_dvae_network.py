"""The networks of the discrete VAE: residual groups between which the resolution halves, or doubles on the way back."""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


def encoder(vocabulary: int, widths: Sequence[int], blocks: int) -> nn.Sequential:
    """[b, 3, H, W] -> logits [b, vocabulary, H / 2^(groups - 1), ...]; architecture and names are the published ones.

    Args:
        widths: channels of every group.
        blocks: residual blocks of every group.
    """
    pool = [nn.MaxPool2d(2) for _ in widths[1:]]
    parts = [("input", Convolution(3, widths[0], 7))]
    parts += _groups([widths[0], *widths], blocks, "pool", pool)
    return nn.Sequential(OrderedDict([*parts, ("output", _output(widths[-1], vocabulary))]))


def decoder(vocabulary: int, widths: Sequence[int], blocks: int) -> nn.Sequential:
    """Shares of every code [b, vocabulary, h, w] -> [b, 6, h * 2^(groups - 1), ...]; the encoder's mirror image.

    Its six maps are mean and log-scale of the logit-Laplace distribution of red, green and blue.
    """
    codebook = Convolution(vocabulary, widths[-1], 1)
    nn.init.normal_(codebook.w)  # one of its inputs is 1, not all of them
    enlarge = [nn.Upsample(scale_factor=2, mode="nearest") for _ in widths[1:]]
    parts = [("codebook", codebook), *_groups([widths[-1], *reversed(widths)], blocks, "enlarge", enlarge)]
    return nn.Sequential(OrderedDict([*parts, ("output", _output(widths[0], 6))]))


class Convolution(nn.Module):
    """A convolution that keeps the size, with the published names of its parameters."""

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel) / (inputs * kernel**2) ** 0.5)
        self.b = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """[b, inputs, h, w] -> [b, outputs, h, w]."""
        return functional.conv2d(x, self.w, self.b, padding=self.w.shape[-1] // 2)


class Block(nn.Module):
    """A residual block: three 3 x 3 convolutions and one 1 x 1 at a quarter of its width.

    Args:
        layers: residual blocks of the whole network; the residual path is divided by the square of their number.
    """

    def __init__(self, inputs: int, outputs: int, layers: int) -> None:
        super().__init__()
        self.gain = 1 / layers**2
        self.id_path = Convolution(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        inner = outputs // 4
        sizes = (inputs, inner, 3), (inner, inner, 3), (inner, inner, 3), (inner, outputs, 1)
        parts = [((f"relu_{i}", nn.ReLU()), (f"conv_{i}", Convolution(*size))) for i, size in enumerate(sizes, 1)]
        self.res_path = nn.Sequential(OrderedDict(part for pair in parts for part in pair))

    def forward(self, x: Tensor) -> Tensor:
        """[b, inputs, h, w] -> [b, outputs, h, w]."""
        return self.id_path(x) + self.gain * self.res_path(x)


def _groups(
    widths: Sequence[int], blocks: int, resize_name: str, resizes: list[nn.Module]
) -> list[tuple[str, nn.Sequential]]:
    """Groups of blocks, each but the last followed by a change of resolution; `widths` starts with the input's."""
    layers = blocks * (len(widths) - 1)
    groups = []
    for number, (inputs, outputs) in enumerate(itertools.pairwise(widths), 1):
        parts = [(f"block_{i}", Block(inputs if i == 1 else outputs, outputs, layers)) for i in range(1, blocks + 1)]
        parts += [(resize_name, resizes[number - 1])] if number <= len(resizes) else []
        groups.append((f"group_{number}", nn.Sequential(OrderedDict(parts))))
    return groups


def _output(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(OrderedDict([("relu", nn.ReLU()), ("conv", Convolution(inputs, outputs, 1))]))
