"""What a network holds and one image through it costs, counted on the meta device: neither memory nor time is needed.

A multiply-add is two FLOPs. Matrix products and convolutions count, what they are surrounded by does not.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from simmim import plugin
from simmim.plugin import Component

# Of the activations, what is left where blocks are computed again: their inputs, and all of one block at a time.
_KEPT_BY_CHECKPOINTING = 0.2
_CHECKPOINTED = "checkpoint_activations"


class Part(NamedTuple):
    """A part of a network and one image through it: `kept_bytes` is what a backward pass needs, in float32."""

    parameters: int = 0
    forward_flops: int = 0
    kept_bytes: int = 0


NO_PART = Part()


@dataclass(frozen=True)
class Network:
    """One image through a network.

    Args:
        encoder: the encoder at the input size of the job.
        rest: everything else that is trained; of a method with a teacher, also further views through the encoder.
        unlearnt: what every image goes through and is not trained: a tokenizer, a teacher, a frozen encoder.
        checkpointed: whether the encoder computes its blocks again for the gradient.
        block_widths: channels of every block, for a probe of all blocks.
    """

    encoder: Part
    rest: Part
    unlearnt: Part = NO_PART
    checkpointed: bool = False
    block_widths: tuple[int, ...] = ()

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
    def kept_bytes(self) -> float:
        """Activations that the backward pass of one image needs, in float32."""
        return self.encoder.kept_bytes * (_KEPT_BY_CHECKPOINTING if self.checkpointed else 1) + self.rest.kept_bytes


def count(network: nn.Module, run: Callable[[], Any]) -> Part:
    """Size of a network, on the meta device or not, and of one run of it."""
    weights = {each.untyped_storage()._cdata for each in network.parameters()}
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept.setdefault(tensor.untyped_storage()._cdata, tensor)
        return tensor

    counter = FlopCounterMode(display=False)
    with torch.enable_grad(), counter, torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        run()
    kept_bytes = sum(each.untyped_storage().nbytes() for place, each in kept.items() if place not in weights)
    return Part(parameters_of(network), counter.get_total_flops(), kept_bytes)


class SizedEncoder(NamedTuple):
    """An encoder at the height and width of its input, with so many channels; equal ones are counted once."""

    section: Component
    image_px: tuple[int, int]
    channels: int

    @property
    def image(self) -> Tensor:
        """One image without content, [1, c, H, W]."""
        return torch.empty(1, self.channels, *self.image_px, device="meta")


@functools.cache
def encoder_part(encoder: SizedEncoder) -> Part:
    """One image through an encoder's `forward`; its `feature_maps` do the same but for a last norm."""
    network = build_encoder(encoder)
    return count(network, lambda: network(encoder.image))


class _NoDraws(TorchFunctionMode):
    """Skips random initialisation and the clamping of truncated normals, half of the time of a plan."""

    _DRAWS = ("uniform_", "normal_", "kaiming_uniform_", "erfinv_", "clamp_")

    def __torch_function__(self, function: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        if getattr(function, "__name__", "") in self._DRAWS:
            return args[0] if args else kwargs["tensor"]
        return function(*args, **kwargs)


@contextmanager
def on_meta() -> Iterator[None]:
    """Networks that are made in this context have no weights, and none are drawn."""
    with torch.device("meta"), _NoDraws():
        yield


@functools.cache
def build_encoder(encoder: SizedEncoder) -> nn.Module:
    """An encoder on the meta device, one for all that is counted of it; what a transfer freezes changes no count."""
    with on_meta():
        return plugin.build("encoders", encoder.section, image_px=encoder.image_px, in_channels=encoder.channels)


def counted_section(section: Component) -> Component:
    """An encoder's section without what changes neither its size nor the FLOPs of one forward pass."""
    kept = {name: value for name, value in section.settings.items() if name not in ("drop_path", _CHECKPOINTED)}
    return Component(name=section.name, **kept)


def is_checkpointed(section: Component) -> bool:
    """Whether an encoder's section asks for its activations to be computed again."""
    return bool(section.settings.get(_CHECKPOINTED))


def parameters_of(network: nn.Module) -> int:
    """Number of parameters."""
    return sum(parameter.numel() for parameter in network.parameters())
