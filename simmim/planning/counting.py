"""One image through a network, counted on tensors that have a size and no content: neither memory nor time is needed.

A multiply-add is two FLOPs. Matrix products and convolutions count, what they are surrounded by does not.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from simmim.layers.blocks import blocks_of

WEIGHT_BYTES = 4
_FAKE = FakeTensorMode(allow_non_fake_inputs=True)  # one for all: tensors of two modes do not mix
# The backward pass of a block holds gradients beside what it needs of the forward pass: so many times the largest of
# the tensors that it keeps, which are attention weights where windows are large. Measured on fake tensors
# (tests/planning/test_memory.py): 0.8 to 1.6 for blocks of SwinV2-H and SwinV2-G at 192 to 640 px.
_GRADIENTS_AT_ONCE = 1.5


class Part(NamedTuple):
    """A part of a network and one image through it.

    Args:
        kept_bytes: what a backward pass needs of an image.
        once_bytes: what it needs of tensors that were made from weights alone, whatever the number of images.
        recomputed_bytes: the most that is there at once where blocks keep their input only and are computed again.
        inputs_bytes: what these keep when the forward pass is done.
        block_parameters: of the largest block.
    """

    parameters: int = 0
    forward_flops: int = 0
    kept_bytes: int = 0
    recomputed_bytes: int = 0
    inputs_bytes: int = 0
    block_parameters: int = 0
    once_bytes: int = 0


NO_PART = Part()


@contextmanager
def on_fake_device(precision: str, device: str = "cuda") -> Iterator[None]:
    """New tensors have no content and claim to lie on a device, whose autocast is on where `precision` is "bf16"."""
    with _FAKE, torch.device(device), _autocast(device, precision == "bf16"):
        yield


@contextmanager
def _autocast(device: str, enabled: bool) -> Iterator[None]:
    """`torch.autocast` to bfloat16, which would do nothing for "cuda" on a machine that has none."""
    before = torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)
    torch.set_autocast_enabled(device, enabled)
    torch.set_autocast_dtype(device, torch.bfloat16)
    torch.autocast_increment_nesting()
    try:
        yield
    finally:
        if torch.autocast_decrement_nesting() == 0:
            torch.clear_autocast_cache()
        torch.set_autocast_enabled(device, before[0])
        torch.set_autocast_dtype(device, before[1])


def count(network: nn.Module, run: Callable[[], Any], precision: str = "fp32") -> Part:
    """Size of a network and of one run of it.

    Args:
        network: on the fake device, see `moved`.
        run: a pass through it; the tensors that it makes are on the fake device, too.
        precision: "bf16" counts under autocast; the casts of weights belong to the weights and are left out.
    """
    with on_fake_device(precision):
        seen = _Seen(network)
        hooks = torch.autograd.graph.saved_tensors_hooks(seen.keep, lambda tensor: tensor)
        with torch.enable_grad(), seen, hooks:
            run()
        seen.remove_hooks()
    largest = max(map(parameters_of, blocks_of(network)), default=0)
    bytes_kept = seen.total, seen.most_recomputed, seen.inputs
    return Part(parameters_of(network), seen.flops, *bytes_kept, largest, seen.once)


def moved(network: nn.Module, device: str = "cuda") -> nn.Module:
    """The network itself, brought from the meta device to the fake one if it is not there yet."""
    if all(isinstance(each, FakeTensor) for each in network.state_dict(keep_vars=True).values()):
        return network
    with _FAKE:
        return network._apply(lambda each: torch.empty(each.shape, dtype=each.dtype, device=device))


def faked(tensor: Tensor, device: str | torch.device = "cuda", requires_grad: bool = False) -> Tensor:
    """A tensor on the fake device that is the same view of a storage as large as that of a tensor without content."""
    storage = torch.empty(tensor.untyped_storage().nbytes() // tensor.itemsize, dtype=tensor.dtype, device=device)
    return storage.as_strided(tensor.shape, tensor.stride(), tensor.storage_offset()).requires_grad_(requires_grad)


class _Pass(NamedTuple):
    """One pass through a block: its output, the largest tensor that it keeps, and what it adds to the counts."""

    out: Tensor
    largest: int
    flops: int
    total: int
    once: int


class _Seen(TorchDispatchMode):
    """FLOPs of a run and what autograd keeps of it, all of it and block by block; weights and their casts are left out.

    Attributes:
        flops: of the operations that `torch.utils.flop_counter` knows.
        total: bytes of what depends on the image.
        once: bytes of what was made from weights alone: normalised ones, tables of positions.
        most_recomputed: the most that is there at once where only the inputs of blocks are kept; 0 without blocks.
        inputs: what is kept in the end, then.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self._weights = {_place(each): each for each in (*network.parameters(), *network.buffers())}
        self._made: dict[int, Tensor] = {}  # from weights alone
        self._kept: dict[int, Tensor] = {}
        self._outside = self._in_block = self._largest = 0
        self.flops = self.total = self.once = self.most_recomputed = 0
        self._blocks = list(blocks_of(network))
        self._hooks = [block.register_forward_pre_hook(self._enter) for block in self._blocks]
        self._hooks += [block.register_forward_hook(self._leave) for block in self._blocks]
        self._passes: dict[str, _Pass] = {}  # by block and inputs
        for block in self._blocks:
            block.forward = functools.partial(self._forward, _described(block), block.forward)

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        if func is torch.ops.prim.device.default:  # two of three calls: the mode below takes its time to answer
            return args[0].fake_device
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        if func._overloadpacket in flop_registry:
            self.flops += flop_registry[func._overloadpacket](*args, **kwargs, out_val=out)
        if func is torch.ops.aten._to_copy.default and _place(args[0]) in self._weights:
            self._weights[_place(out)] = out
        elif self._are_of_weights(tree_leaves((args, kwargs))):
            self._made |= {_place(each): each for each in tree_leaves(out) if isinstance(each, Tensor)}
        return out

    def _are_of_weights(self, inputs: list[Any]) -> bool:
        places = {_place(each) for each in inputs if isinstance(each, Tensor)}
        return bool(places) and places <= self._weights.keys() | self._made.keys()

    def keep(self, tensor: Tensor) -> Tensor:
        """A hook of autograd."""
        place = _place(tensor)
        if place not in self._weights and place not in self._kept:
            self._kept[place] = tensor
            size = tensor.untyped_storage().nbytes()
            if place in self._made:
                self.once += size
                return tensor
            self.total += size
            self._in_block += size
            self._largest = max(self._largest, size)
        return tensor

    def _forward(self, block: str, forward: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        """A block's forward pass; where an equal block had equal inputs, its counts are taken again and nothing runs.

        Deep networks have few kinds of blocks: running all of them would be most of the time of a plan. What an earlier
        block has kept of the inputs, a bias that all share, say, is not kept again: such inputs are not equal.
        """
        inputs = tree_leaves((args, kwargs))
        kept = [_place(each) in self._kept for each in inputs if isinstance(each, Tensor)]
        key = f"{block} {_sizes(inputs)} {kept}"
        if key not in self._passes:
            before = self.flops, self.total, self.once
            out = forward(*args, **kwargs)
            after = self.flops, self.total, self.once
            self._passes[key] = _Pass(out, self._largest, *(new - old for new, old in zip(after, before)))
            return out
        out, self._largest, flops, total, once = self._passes[key]
        self.flops, self.total, self.once = self.flops + flops, self.total + total, self.once + once
        self._in_block = total
        return faked(out, out.device, out.requires_grad)

    @property
    def inputs(self) -> int:
        return self._outside + self._in_block

    def _enter(self, block: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self._outside += self._in_block + inputs[0].untyped_storage().nbytes()
        self._in_block = self._largest = 0

    def _leave(self, block: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        at_once = self._outside + self._in_block + round(_GRADIENTS_AT_ONCE * self._largest)
        self.most_recomputed = max(self.most_recomputed, at_once)
        self._in_block = 0

    def remove_hooks(self) -> None:
        """Leave the network as it was."""
        for hook in self._hooks:
            hook.remove()
        for block in self._blocks:
            del block.forward


def _described(block: nn.Module) -> str:
    """Equal for blocks of which one pass is as another: the settings of all modules and the sizes of all weights."""
    settings = [
        (type(each), {k: v for k, v in vars(each).items() if not isinstance(v, dict)}) for each in block.modules()
    ]
    return f"{settings} {_sizes([*block.parameters(), *block.buffers()])}"


def _sizes(values: list[Any]) -> list[Any]:
    """Values, tensors by all but their content."""
    return [
        (each.shape, each.stride(), each.dtype, each.requires_grad) if isinstance(each, Tensor) else each
        for each in values
    ]


def _place(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


def parameters_of(network: nn.Module) -> int:
    """Number of parameters."""
    return sum(parameter.numel() for parameter in network.parameters())
