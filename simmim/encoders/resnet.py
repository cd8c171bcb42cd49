"""ResNet with mask tokens after the stem (appendix E), one class for pre-training and every transfer task.

Shapes: b images, h w tokens (cells after the stem), d channels (twice as many after each stage).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import ClassVar

import torch
from timm.layers import trunc_normal_
from timm.models.resnet import Bottleneck, make_blocks
from torch import Tensor, nn

from simmim.encoders._encoder import Encoder, check_drop_path
from simmim.layers.checkpointing import let_run_again

_STEM_STRIDE = 4
_MOST_STAGES = 4


class ResNet(Encoder):
    """Convolutional encoder of bottleneck blocks behind the paper's stem: 3x3 convolution of stride 2, 2x2 max-pool.

    The defaults are ResNet-50x4. The paper does not say which of the networks so called it means; this is SimCLR's
    (Chen et al., 2002.05709), all channels of ResNet-50 times four: 375.3 M parameters. The other common reading, four
    times the channels inside the bottlenecks only, is `width_factor=1, inner_width_factor=4`: 221.4 M.

    Nothing hidden reaches a feature. Mask tokens after the stem alone would not do: its 3x3 convolution reaches one
    pixel beyond the token, so a visible token beside a hidden one would see hidden pixels. The paper is silent about
    this; here hidden pixels are set to 0, the mean colour of normalised images, before the stem as well.

    In training, normalisation uses the statistics of one micro-batch, hidden pixels at 0 and mask tokens included.

    Args:
        image_px: height and width of the input; any other size is accepted too.
        in_channels: channels of the input, any number.
        stem_width: channels of the stem before `width_factor`; the stages end in 4, 8, 16 and 32 times as many.
        depths: blocks of each stage, at most four stages.
        width_factor: multiplies all channels.
        inner_width_factor: multiplies once more the channels of the 3x3 convolutions.
        drop_path: stochastic depth of the last block; grows linearly from 0 at the first.
        checkpoint_activations: keep only the input of each block in training and compute the rest again for the
            gradient: less memory, a third more computation, the same numbers.
    """

    transfer_settings: ClassVar[frozenset[str]] = frozenset({"drop_path", "checkpoint_activations"})
    any_size = True
    token = _STEM_STRIDE

    def __init__(
        self,
        *,
        image_px: tuple[int, int],
        in_channels: int = 3,
        stem_width: int = 64,
        depths: Sequence[int] = (3, 4, 6, 3),
        width_factor: int = 4,
        inner_width_factor: int = 1,
        drop_path: float = 0.0,
        checkpoint_activations: bool = False,
    ) -> None:
        super().__init__()
        if not 1 <= len(depths) <= _MOST_STAGES:
            raise ValueError(f"depths {list(depths)} must name one to four stages")
        check_drop_path(drop_path)
        self.image_px = tuple(image_px)
        self._depths = tuple(depths)
        self.depth = sum(depths)
        channels = [stem_width * width_factor * 2**stage for stage in range(len(depths))]
        self.levels = [(Bottleneck.expansion * c, _STEM_STRIDE * 2**stage) for stage, c in enumerate(channels)]
        self.width, self.stride = self.levels[-1]
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, channels[0], kernel_size=3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(channels[0]),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2, ceil_mode=True),  # sizes that the token does not divide are padded, as in other encoders
        )
        self.mask_token = nn.Parameter(torch.zeros(1, channels[0], 1, 1))
        trunc_normal_(self.mask_token, std=0.02)
        stages, _ = make_blocks(
            (Bottleneck,) * len(depths),
            tuple(channels),
            self._depths,
            inplanes=channels[0],
            base_width=64 * inner_width_factor,  # timm's unit: 64 = as many as the stage has
            act_layer=nn.ReLU,
            norm_layer=nn.BatchNorm2d,
            drop_path_rate=drop_path,
        )
        self.stages = nn.ModuleList(stage for _, stage in stages)
        self._initialise()
        for block in (block for stage in self.stages for block in stage if checkpoint_activations):
            let_run_again(block)

    def forward(self, images: Tensor, hidden: Tensor | None = None) -> Tensor:
        """Encode images; tokens that `hidden` marks are replaced by the mask token after the stem.

        Args:
            images: [b, in_channels, H, W], normalised.
            hidden: bool [b, H / token, W / token], True = hidden.

        Returns:
            [b, width, H / stride, W / stride].
        """
        for x in self._block_outputs(images, hidden):  # noqa: B007 - the last one; a list would hold all
            pass
        return x

    def block_maps(self, images: Tensor, hidden: Tensor | None = None) -> Iterator[Tensor]:
        """Output of every block as a map [b, d, h, w] of its stage, one after another; `hidden` as in `forward`."""
        return self._block_outputs(images, hidden)

    def feature_maps(self, images: Tensor) -> list[Tensor]:
        """Output of every stage, finest first: [b, channels, ~H / stride, ~W / stride] per level."""
        ends = {sum(self._depths[: stage + 1]) - 1 for stage in range(len(self._depths))}
        return [x for index, x in enumerate(self._block_outputs(images)) if index in ends]

    def layer_of(self, parameter_name: str) -> int:
        """Layer for layer-wise learning-rate decay: 0 stem and mask token, 1 ... depth the blocks; none above them."""
        found = re.match(r"stages\.(\d+)\.(\d+)\.", parameter_name)
        return sum(self._depths[: int(found[1])]) + int(found[2]) + 1 if found else 0

    def stem_parameters(self) -> set[str]:
        """Names of the parameters that an image meets before the mask tokens."""
        return self.names_below("stem")

    def _block_outputs(self, images: Tensor, hidden: Tensor | None = None) -> Iterator[Tensor]:
        x = self._tokens(images, hidden)
        for stage in self.stages:
            for block in stage:
                x = block(x)
                yield x

    def _tokens(self, images: Tensor, hidden: Tensor | None) -> Tensor:
        if hidden is None:
            return self.stem(images)  # [b, d, h, w]
        pixels = hidden.repeat_interleave(self.token, 1).repeat_interleave(self.token, 2)
        assert pixels.shape[1:] == images.shape[2:], f"mask {tuple(hidden.shape)} does not fit {tuple(images.shape)}"
        x = self.stem(torch.where(pixels[:, None], torch.zeros_like(images), images))  # [b, d, h, w]
        return torch.where(hidden[:, None], self.mask_token.to(x.dtype), x)

    def _initialise(self) -> None:
        """ResNet's usual start: convolutions after He et al. by fan-out, every residual branch at zero."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if isinstance(module, Bottleneck):
                module.zero_init_last()
