"""What a network holds and one image through it costs, counted without memory or time (`simmim.planning.counting`)."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import unset_fake_temporarily
from torch.overrides import TorchFunctionMode

from simmim import plugin
from simmim.planning.counting import NO_PART, Part, count, moved
from simmim.plugin import Component

_CHECKPOINTED = "checkpoint_activations"


@dataclass(frozen=True)
class Network:
    """One image through a network.

    Args:
        encoder: the encoder at the input size of the job.
        rest: everything else that is trained; of a method with a teacher, also further views through the encoder.
        unlearnt: what every image goes through and is not trained: a tokenizer, a teacher, a frozen encoder.
        checkpointed: whether the encoder computes its blocks again for the gradient.
        block_widths: channels of every block, for a probe of all blocks.
        head_parameters: of the head that a pre-training leaves beside its encoder.
    """

    encoder: Part
    rest: Part
    unlearnt: Part = NO_PART
    checkpointed: bool = False
    block_widths: tuple[int, ...] = ()
    head_parameters: int = 0

    @property
    def parameters(self) -> int:
        """Of the whole network."""
        return self.encoder.parameters + self.rest.parameters

    @property
    def forward_flops(self) -> int:
        """Of one forward pass of what is trained."""
        return self.encoder.forward_flops + self.rest.forward_flops

    @property
    def train_flops(self) -> int:
        """Of one image in training: the backward pass is twice the forward pass, checkpointing another one."""
        again = self.encoder.forward_flops if self.checkpointed else 0
        return 3 * self.forward_flops + again + self.unlearnt.forward_flops

    @property
    def score_flops(self) -> int:
        """Of one image that is only scored."""
        return self.forward_flops + self.unlearnt.forward_flops

    @property
    def kept_bytes(self) -> int:
        """The most activations at once in the backward pass of one image, in the precision it was counted in.

        What the rest keeps is let go before a checkpointed encoder computes its blocks again.
        """
        if self.checkpointed:
            return max(self.rest.kept_bytes + self.encoder.inputs_bytes, self.encoder.recomputed_bytes)
        return self.rest.kept_bytes + self.encoder.kept_bytes

    @property
    def once_bytes(self) -> int:
        """What the backward pass needs beside, whatever the number of images."""
        return self.rest.once_bytes + self.encoder.once_bytes

    @property
    def cast_parameters(self) -> int:
        """Of the trained weights, those that autocast has copies of at once."""
        return self.encoder.block_parameters + self.rest.parameters if self.checkpointed else self.parameters


class SizedEncoder(NamedTuple):
    """An encoder at the height and width of its input, with so many channels; equal ones are counted once."""

    section: Component
    image_px: tuple[int, int]
    channels: int

    @property
    def image(self) -> Tensor:
        """One image without content, [1, c, H, W], on the device of the context."""
        return torch.empty(1, self.channels, *self.image_px)


@functools.cache
def encoder_part(encoder: SizedEncoder, precision: str = "fp32") -> Part:
    """One image through an encoder's `forward`; its `feature_maps` do the same but for a last norm."""
    network = moved(build_encoder(encoder))
    return count(network, lambda: network(encoder.image), precision)


class _NoDraws(TorchFunctionMode):
    """Skips initialisation in place: draws, the clamping and scaling of truncated normals, constants."""

    _DRAWS = ("uniform_", "normal_", "kaiming_uniform_", "erfinv_", "clamp_", "mul_", "add_", "fill_", "zero_")

    def __torch_function__(self, function: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        if getattr(function, "__name__", "") in self._DRAWS:
            return args[0] if args else kwargs["tensor"]
        return function(*args, **kwargs)


@contextmanager
def on_meta() -> Iterator[None]:
    """Networks that are made in this context have no weights, and none are drawn."""
    with unset_fake_temporarily(), torch.device("meta"), _NoDraws():
        yield


def build_encoder(encoder: SizedEncoder) -> nn.Module:
    """An encoder on the meta device."""
    with on_meta():
        return plugin.build("encoders", encoder.section, image_px=encoder.image_px, in_channels=encoder.channels)


def counted_section(section: Component) -> Component:
    """An encoder's section without what changes neither its size nor the FLOPs of one forward pass."""
    kept = {name: value for name, value in section.settings.items() if name not in ("drop_path", _CHECKPOINTED)}
    return Component(name=section.name, **kept)


def is_checkpointed(section: Component) -> bool:
    """Whether an encoder's section asks for its activations to be computed again."""
    return bool(section.settings.get(_CHECKPOINTED))
