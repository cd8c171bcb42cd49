"""From an encoder's feature maps to what dense heads expect: normalised levels and a feature pyramid.

Shapes: b images, c channels, h w cells of a level.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from torch import Tensor, nn
from torchvision.ops.feature_pyramid_network import FeaturePyramidNetwork, LastLevelMaxPool


def check_dense(encoder: nn.Module, channels: int, task: str) -> None:
    """Refuse an encoder on which no pyramid can be built.

    Args:
        channels: of the encoder's images.
        task: as the message names it.

    Raises:
        ValueError: for fewer than two feature maps, and for grey images: dense data sets are read as RGB.
    """
    if len(encoder.levels) < 2:
        raise ValueError(f"{task} needs an encoder with at least two feature maps, this one has {len(encoder.levels)}")
    if channels != 3:
        raise ValueError(
            f"{task} reads RGB images, this encoder takes {channels} channel{'s'[: channels > 1]}; pre-train it with "
            "images.mean of 3 values"
        )


def freeze_unused(encoder: nn.Module) -> None:
    """Freeze what no feature map depends on: nothing is hidden, and the levels are normalised by themselves.

    DistributedDataParallel hangs on parameters without gradients, and weight decay would shrink them for nothing.
    """
    for name in encoder.unmapped_parameters():
        encoder.get_parameter(name).requires_grad_(False)


class LevelNorms(nn.Module):
    """A LayerNorm over the channels of every level, as in the dense uses of Swin (its stages end un-normalised).

    Args:
        levels: (channels, stride) of every feature map, finest first.
    """

    def __init__(self, levels: Sequence[tuple[int, int]]) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(channels) for channels, _ in levels)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Feature maps [b, c_i, h_i, w_i] -> the same, normalised."""
        return [norm(level.permute(0, 2, 3, 1)).permute(0, 3, 1, 2) for norm, level in zip(self.norms, maps)]


class Pyramid(nn.Module):
    """Feature pyramid (Lin et al., 2017) with one more level by subsampling the coarsest.

    Args:
        levels: (channels, stride) of every feature map of the encoder, finest first.
        out_channels: channels of every level of the pyramid.
    """

    def __init__(self, levels: Sequence[tuple[int, int]], out_channels: int) -> None:
        super().__init__()
        self.out_channels = out_channels
        self.norms = LevelNorms(levels)
        self.fpn = FeaturePyramidNetwork([channels for channels, _ in levels], out_channels, LastLevelMaxPool())

    def forward(self, maps: Sequence[Tensor]) -> OrderedDict[str, Tensor]:
        """Feature maps -> levels "0", "1", ... and "pool", each [b, out_channels, h_i, w_i], finest first."""
        return self.fpn(OrderedDict((str(index), level) for index, level in enumerate(self.norms(maps))))
