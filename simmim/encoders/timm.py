"""Any of timm's models of ten families by its name, with mask tokens after the stem or patch embedding.

Shapes: b images, h w tokens or cells, n tokens with prefix tokens, d channels.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from timm.layers import resample_abs_pos_embed, trunc_normal_
from torch import Tensor, nn

from simmim.encoders import _timm_families as families
from simmim.encoders._encoder import Encoder, check_drop_path
from simmim.encoders._position_bias import CLASS_ROWS, TABLE, resize_table, square_side
from simmim.layers.checkpointing import let_run_again
from simmim.layers.hooked import hooked
from simmim.layers.plain_pyramid import pyramid, pyramid_levels


class Timm(Encoder):
    """A backbone by its timm name; token, stride, width and levels are what timm's model has.

    Hidden pixels are set to 0, the mean colour of normalised images, and hidden tokens are replaced after the stem:
    stems whose convolutions reach over the edge of a token (ResNet, RegNet, Hiera) see nothing hidden either. A norm
    that timm applies after pooling (`fc_norm`, `head.norm`) is applied to every cell.

    Args:
        image_px: height and width of the input; convolutional families take any other, too.
        in_channels: channels of the input, any number.
        model: timm's name of the architecture, without a tag of published weights: swin_tiny_patch4_window7_224.
        drop_path: stochastic depth of the last block; grows linearly from 0 at the first.
        pretrained_windows: of a SwinV2, rows and columns of the window of each stage that distances are measured by;
            empty for what the name says. Loading an encoder keeps what it was pre-trained with.
        checkpoint_activations: keep only the input of every block and compute the rest again for the gradient.
    """

    transfer_settings: ClassVar[frozenset[str]] = frozenset(
        {"drop_path", "pretrained_windows", "checkpoint_activations"}
    )

    def __init__(
        self,
        *,
        image_px: tuple[int, int],
        in_channels: int = 3,
        model: str,
        drop_path: float = 0.0,
        pretrained_windows: Sequence[tuple[int, int]] = (),
        checkpoint_activations: bool = False,
    ) -> None:
        super().__init__()
        check_drop_path(drop_path)
        self.image_px, self._model, self._family = tuple(image_px), model, families.family_of(model)
        if pretrained_windows and not model.startswith("swinv2_"):
            raise ValueError(f"pretrained_windows is of swinv2 models, {model} has none")
        settings = {"pretrained_window_sizes": tuple(pretrained_windows)} if pretrained_windows else {}
        self.body = families.build_body(model, self.image_px, in_channels, drop_path_rate=drop_path, **settings)
        self._blocks, self._stages = zip(*families.blocks_of(self.body, self._family))
        self.any_size = self._family.is_convolutional
        self.token, stem_width = families.stem_of(self.body, self._family)
        self.stride, self.width = self.body.feature_info[-1]["reduction"], self.body.num_features
        self.depth = len(self._blocks)
        if self._family.divides and any(side % self.stride for side in self.image_px):
            raise ValueError(f"image_px {self.image_px} must be a multiple of {self.stride} for {model}")
        self.mask_token = nn.Parameter(torch.zeros(1, 1, stem_width))
        trunc_normal_(self.mask_token, std=0.02)
        for block in self._block_modules() if checkpoint_activations else ():
            let_run_again(block)

    @property
    def levels(self) -> list[tuple[int, int]]:
        """Channels and stride of every map of `feature_maps`."""
        stages = self._stages[-1] + 1
        if stages == 1:
            return pyramid_levels(self.width, self.token)
        return [(info["num_chs"], info["reduction"]) for info in self.body.feature_info[-stages:]]

    @property
    def kept_settings(self) -> dict[str, list[list[int]]]:
        """Settings that a transfer must not derive anew from its own window and input size."""
        windows = families.pretrained_windows(self._block_modules(), self._stages)
        return {"pretrained_windows": windows} if windows else {}

    @property
    def timm_arguments(self) -> dict[str, Any]:
        """Arguments with which `timm.create_model` makes this model, but for channels and classes."""
        windows = self.kept_settings.get("pretrained_windows")
        kept = {"pretrained_window_sizes": windows} if windows else {}
        return families.body_settings(self._family, self.image_px) | kept

    @property
    def norms_pooled(self) -> bool:
        """Whether timm has a norm after pooling, which `forward` applies to every cell."""
        return not isinstance(families.pooled_norm(self.body), nn.Identity)

    def forward(self, images: Tensor, hidden: Tensor | None = None) -> Tensor:
        """Encode images; tokens that `hidden` marks are replaced by the mask token after the stem.

        Args:
            images: [b, in_channels, H, W], normalised.
            hidden: bool [b, H / token, W / token], True = hidden.

        Returns:
            [b, width, H / stride, W / stride], after the norm where timm's model has one.
        """
        return self._as_map(families.pooled_norm(self.body)(self._run(images, hidden)), images, self.depth - 1)

    def before_pooling(self, images: Tensor) -> Tensor:
        """What timm's `forward_features` gives, as a map [b, width, h, w]: without the norm after pooling."""
        return self._as_map(self._run(images), images, self.depth - 1)

    def block_maps(self, images: Tensor, hidden: Tensor | None = None) -> Iterator[Tensor]:
        """Output of every block as a map [b, d, h, w] of its stage, one after another; `hidden` as in `forward`."""
        return iter(self._outputs(images, lambda x, block: self._as_map(x, images, block), hidden))

    def block_features(self, images: Tensor, hidden: Tensor | None = None) -> list[Tensor]:
        """Output of every block averaged over its tokens, hidden or not: `depth` tensors [b, d of its stage]."""
        return self._outputs(images, lambda x, block: self._as_map(x, images, block).mean(dim=(2, 3)), hidden)

    def feature_maps(self, images: Tensor) -> list[Tensor]:
        """Output of every stage, un-normalised, finest first; of a plain model `simmim.layers.plain_pyramid`."""
        if self._stages[-1] == 0:
            return pyramid(self.block_maps(images), self.depth)
        ends = [self._stages.index(stage) - 1 for stage in range(1, self._stages[-1] + 1)] + [self.depth - 1]
        outputs = self._outputs(images, lambda x, block: self._as_map(x, images, block) if block in ends else None)
        return [x for x in outputs if x is not None]

    def layer_of(self, parameter_name: str) -> int:
        """Layer for layer-wise learning-rate decay: 0 the embedding, 1 ... depth the blocks, depth + 1 the rest.

        What stands between two stages belongs to the last block before it, as in the released Swin (timm differs).
        """
        return 0 if parameter_name == "mask_token" else self._layers[parameter_name.removeprefix("body.")]

    def stem_parameters(self) -> set[str]:
        """Names of the parameters that an image meets before the mask tokens."""
        return set().union(*(self.names_below(f"body.{part}") for part in self._family.stem))

    def unmapped_parameters(self) -> set[str]:
        """Names of the parameters that no map of `feature_maps` depends on: all behind the last block."""
        return {"mask_token"} | {f"body.{name}" for name, layer in self._layers.items() if layer > self.depth}

    def no_weight_decay(self, pretraining: bool = False) -> set[str]:
        """Names without weight decay beside the one-dimensional ones: those that timm lists, and the mask token."""
        listed = set(self.body.no_weight_decay()) if hasattr(self.body, "no_weight_decay") else set()
        return {"mask_token"} | {f"body.{name}" for name, _ in self.body.named_parameters() if name in listed}

    def adapt(self, state: Mapping[str, Tensor], image_px: tuple[int, int] | None = None) -> dict[str, Tensor]:
        """Fit a state of this class, saved for `image_px` (None: a square), to this instance.

        Tables of relative positions are resized as released, absolute position embeddings as timm does it.
        """
        adapted, is_other_size = dict(state), image_px not in (None, self.image_px)
        for name, own in self.state_dict().items():  # 4 x 6 tokens have as many positions as 6 x 4
            if name in adapted and (is_other_size or adapted[name].shape != own.shape):
                adapted[name] = self._fit(name, adapted[name], own, image_px)
        return adapted

    def _fit(self, name: str, value: Tensor, own: Tensor, image_px: tuple[int, int] | None) -> Tensor:
        if name.endswith(TABLE) and self._stages[-1] == 0:
            source = (square_side(len(value), CLASS_ROWS),) * 2 if image_px is None else self._grid(image_px)
            return resize_table(value, source, self._grid(), CLASS_ROWS)
        if name.endswith(TABLE):
            stage = self._stages[self._blocks.index(name.removeprefix("body.").partition(".attn.")[0])]
            found = functools.partial(families.clamped_window, stage=stage)
            source = found(len(value), self._grid(image_px)) if image_px else (square_side(len(value)),) * 2
            return resize_table(value, source, found(len(own), self._grid()))
        if name == "body.pos_embed" and own.ndim == 3:
            prefix = own.shape[1] - math.prod(self._grid())
            source = self._grid(image_px) if image_px else (math.isqrt(value.shape[1] - prefix),) * 2
            return resample_abs_pos_embed(value, list(self._grid()), list(source), prefix)
        return value

    def _block_modules(self) -> list[nn.Module]:
        return [self.body.get_submodule(name) for name in self._blocks]

    @functools.cached_property
    def _layers(self) -> dict[str, int]:
        """The layer of every parameter of timm's model, which stand in the order of the forward pass."""
        layers, current = {}, 0
        for name, _ in self.body.named_parameters():
            inside = [number for number, block in enumerate(self._blocks, 1) if name.startswith(f"{block}.")]
            current = inside[0] if inside else current + (current == self.depth)
            layers[name] = current
        return layers

    def _run(self, images: Tensor, hidden: Tensor | None = None) -> Tensor:
        """timm's features of images whose hidden pixels it does not see."""
        given = tuple(images.shape[2:])
        if not self.any_size and given != self.image_px:
            raise ValueError(
                f"this {self._model} was built for {self.image_px[0]} x {self.image_px[1]} px, the input has "
                f"{given[0]} x {given[1]} px; build it for that size"
            )
        if hidden is None:
            return self.body.forward_features(self._padded(images))
        pixels = hidden.repeat_interleave(self.token, 1).repeat_interleave(self.token, 2)
        assert pixels.shape[1:] == given, f"mask {tuple(hidden.shape)} does not fit {given} px"
        images = torch.where(pixels[:, None], torch.zeros_like(images), images)
        stem = self.body.get_submodule(self._family.stem[-1])
        with hooked([stem], lambda x, _: self._with_mask_tokens(x, hidden)):
            return self.body.forward_features(self._padded(images))

    def _padded(self, images: Tensor) -> Tensor:
        """Convolutions would drop what their stride does not divide; windowed models pad themselves."""
        height, width = images.shape[2:] if self.any_size else (0, 0)
        return F.pad(images, (0, -width % self.stride, 0, -height % self.stride))

    def _with_mask_tokens(self, x: Tensor, hidden: Tensor) -> Tensor:
        token = self.mask_token.to(x.dtype)
        if self._family.is_convolutional:
            return torch.where(hidden[:, None], token.view(1, -1, 1, 1), x)
        where = hidden.flatten(1) if x.ndim == 3 else hidden
        return torch.where(where[..., None], token, x)

    def _outputs(self, images: Tensor, taken: Callable[[Tensor, int], Any], hidden: Tensor | None = None) -> list[Any]:
        """What `taken` makes of the output of every block."""
        found: list[Any] = []

        def take(x: Tensor, block: int) -> None:
            found.append(taken(x, block))

        with hooked(self._block_modules(), take):
            self._run(images, hidden)
        return found

    def _as_map(self, x: Tensor, images: Tensor, block: int) -> Tensor:
        """The output of a block in timm's layout -> [b, d, h, w], without what was padded."""
        if hasattr(self.body, "reroll"):  # Hiera keeps the tokens of a window together
            x = self.body.reroll(x, block)
        if x.ndim == 3:
            return x[:, self.body.num_prefix_tokens :].transpose(1, 2).unflatten(2, self._grid())
        if not self._family.is_convolutional:
            return x.permute(0, 3, 1, 2)
        height, width = images.shape[2:]
        stride = math.ceil(height / self.stride) * self.stride // x.shape[2]
        return x[:, :, : math.ceil(height / stride), : math.ceil(width / stride)]

    def _grid(self, image_px: tuple[int, int] | None = None) -> tuple[int, int]:
        """Rows and columns of the tokens of an input of this size, by default of its own."""
        height, width = image_px or self.image_px
        return height // self.token, width // self.token
