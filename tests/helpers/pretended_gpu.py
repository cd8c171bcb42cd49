"""A GPU that is not there: tensors on the CPU that claim to be on cuda:0, and a count of what a real one would mind.

Every tensor is a plain one; what makes it "on the GPU" is that its storage is known to `PretendedGpu`. So parameters
stay the same objects when a module moves, as on a real GPU, and every kernel computes. Python sees the claimed device,
asks for it, and copies to it; each operation says whether its tensors lie together and whether the host has to wait.

What it cannot show: kernels of CUDA, the lists of operations that autocast knows there, streams, NCCL, memory.
"""

from __future__ import annotations

import functools
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode
from torch.utils._foreach_utils import _group_tensors_by_device_and_dtype
from torch.utils._python_dispatch import TorchDispatchMode

GPU, CPU = torch.device("cuda", 0), torch.device("cpu")
_PACKAGES = Path(torch.__file__).parents[1]
_PROJECT = Path(__file__).parents[2]
_INDEXING = {"aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_", "aten::_unsafe_index"}
_WAITING = {  # results whose size, or whose value, the host has to know
    "aten::_local_scalar_dense",
    "aten::equal",
    "aten::is_nonzero",
    "aten::nonzero",
    "aten::masked_select",
    "aten::_unique2",
    "aten::unique_dim",
    "aten::unique_consecutive",
    "aten::bincount",
    "torchvision::nms",
}
# What CUDA has no deterministic form of (torch.use_deterministic_algorithms). Bilinear resizing has one, in Python.
_UNSETTLED = {
    "aten::_adaptive_avg_pool2d_backward",
    "aten::upsample_bicubic2d_backward",
    "aten::reflection_pad2d_backward",
    "aten::histc",
    "torchvision::_roi_align_backward",
}
_STORAGES: dict[int, StorageWeakRef] = {}  # of all sessions: caches outlive one
_READS = {Tensor.tolist: "tolist", Tensor.__array__: "numpy", Tensor.numpy: "numpy"}
_SIDES = Tensor.is_cuda.__get__, Tensor.is_cpu.__get__
_COPIES = {Tensor.to, Tensor.cpu, Tensor.cuda}


@dataclass
class PretendedGpu:
    """What happened, by the place in the code: the innermost file of this project or, failing that, of a package.

    Args:
        waits: times the host waited for the device.
        mixed: operations on tensors of both devices, which CUDA refuses.
    """

    waits: Counter[str] = field(default_factory=Counter)
    mixed: Counter[str] = field(default_factory=Counter)
    is_crossing: bool = False
    is_backward: bool = False

    def holds(self, tensor: Tensor) -> bool:
        """Whether a tensor claims to be on the GPU."""
        with torch._C.DisableTorchFunction():
            return tensor.untyped_storage()._cdata in _STORAGES

    def take(self, value: Any) -> Any:
        """The same tensors, which now claim to be on the GPU."""
        with torch._C.DisableTorchFunction():
            for tensor in _tensors((value,)):
                if tensor.untyped_storage()._cdata in _STORAGES:
                    continue
                reference = StorageWeakRef(tensor.untyped_storage())  # while it lives, no other storage has its address
                _STORAGES[reference.cdata] = reference
        return value

    def crossing(self, tensor: Tensor, dtype: torch.dtype) -> Tensor:
        """A copy of a tensor that lies nowhere yet."""
        self.is_crossing = True
        try:
            return tensor.to(dtype, copy=True)
        finally:
            self.is_crossing = False

    def waited(self, what: str) -> None:
        """Count a wait at the place that is being executed."""
        self.waits[f"{_place()} {what}"] += 1

    def mixes(self, what: str) -> None:
        """Count an operation on tensors of both devices."""
        self.mixed[f"{_place()} {what}"] += 1


@contextmanager
def pretended_gpu() -> Iterator[PretendedGpu]:
    """Let the code inside believe that there is a GPU."""
    gpu = PretendedGpu()
    with ExitStack() as stack:
        for target, name, value in _PATCHES:
            stack.enter_context(mock.patch.object(target, name, value))
        stack.enter_context(_Functions(gpu))
        stack.enter_context(_Operations(gpu))
        yield gpu


class _Functions(TorchFunctionMode):
    """What Python code asks of tensors: their device, copies to another one, new ones on it."""

    def __init__(self, gpu: PretendedGpu) -> None:
        super().__init__()
        self._gpu = gpu

    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        if func == Tensor.device.__get__:
            return GPU if self._gpu.holds(args[0]) else func(*args)
        if func in _SIDES:
            return self._gpu.holds(args[0]) == (func == Tensor.is_cuda.__get__)
        if func in _COPIES:
            return self._copied(func, *args, **kwargs)
        if func is Tensor.backward:
            with self, mock.patch.object(self._gpu, "is_backward", True):  # what is computed again asks for devices too
                return torch.autograd.backward(args[0])
        if func in _READS and self._gpu.holds(args[0]):
            (self._gpu.waited if func is Tensor.tolist else self._gpu.mixes)(_READS[func])
        return self._made(func, args, kwargs) if kwargs.get("device") else func(*args, **kwargs)

    def _made(self, func: Callable, args: tuple, kwargs: dict) -> Any:
        """A new tensor; one that is made of Python's numbers is copied, and the host waits."""
        made = func(*args, **kwargs | {"device": CPU})
        if torch.device(kwargs["device"]).type == "cuda":
            self._gpu.take(made)
            if func in (torch.tensor, torch.as_tensor):
                self._gpu.waited("new tensor")
        return made

    def _copied(self, func: Callable, tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        device, dtype, non_blocking = self._wanted(func, args, kwargs)
        is_there = self._gpu.holds(tensor)
        if device is None or (device.type == "cuda") == is_there:
            return tensor if dtype is None else tensor.to(dtype)
        if is_there or not non_blocking:
            self._gpu.waited("copy")
        copied = self._gpu.crossing(tensor, tensor.dtype if dtype is None else dtype)
        return copied if is_there else self._gpu.take(copied)

    def _wanted(self, func: Callable, args: tuple, kwargs: dict) -> tuple[torch.device | None, Any, bool]:
        if func is Tensor.cpu:
            return CPU, None, False
        if func is Tensor.cuda:
            return GPU, None, kwargs.get("non_blocking", False)
        if args and torch.is_tensor(args[0]):
            return GPU if self._gpu.holds(args[0]) else CPU, args[0].dtype, kwargs.get("non_blocking", False)
        kept = {name: value for name, value in kwargs.items() if name != "copy"}
        return torch._C._nn._parse_to(*args, **kept)[:3]


class _Operations(TorchDispatchMode):
    """What operations find: whether their tensors lie together, and whether the host must wait for them."""

    def __init__(self, gpu: PretendedGpu) -> None:
        super().__init__()
        self._gpu = gpu

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs, gpu = kwargs or {}, self._gpu
        tensors = [*_tensors(args), *_tensors(kwargs.values())]
        there = [gpu.holds(each) for each in tensors]
        if not any(there) or gpu.is_crossing:
            made = func(*args, **kwargs)
            return gpu.take(made) if gpu.is_backward and not tensors else made  # it makes zeros beside its gradient
        name, pointwise = _about(func)
        strangers = [each for each, is_there in zip(tensors, there) if not is_there]
        if name == "aten::copy_":
            if strangers and not (there[0] and kwargs.get("non_blocking", len(args) > 2 and args[2])):
                gpu.waited("copy_")
        elif name in _INDEXING:
            self._index(name, args, strangers)
        elif any(each.ndim or not pointwise for each in strangers):
            gpu.mixes(name)
        if name in _WAITING or (name == "aten::where" and strangers):  # it copies a number of the host first
            gpu.waited(name)
        if torch.are_deterministic_algorithms_enabled() and _is_unsettled(name, args):
            raise RuntimeError(f"{name} does not have a deterministic implementation, but you set ...")
        result = func(*args, **kwargs)
        return result if name == "aten::copy_" else gpu.take(result)

    def _index(self, name: str, args: tuple, strangers: list[Tensor]) -> None:
        """Truth values are counted first, unless a single number is put there; an index of the host is copied."""
        indices = [each for each in args[1] if each is not None]
        one_number = "put" in name and args[2].numel() == 1
        if any(each.dtype in (torch.bool, torch.uint8) for each in indices) and not one_number:
            self._gpu.waited(name)
        if any(each is index for each in strangers for index in indices):
            self._gpu.waited(f"{name} by an index of the host")
        if not self._gpu.holds(args[0]) or ("put" in name and args[2].ndim and not self._gpu.holds(args[2])):
            self._gpu.mixes(name)


def _tensors(values: Iterable[Any]) -> Iterator[Tensor]:
    """Tensors among the arguments of an operation, or its results: alone or in lists."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)


@functools.cache
def _about(func: Any) -> tuple[str, bool]:
    """Name of an operation, and whether a number of the host may stand among its tensors."""
    return func._schema.name, torch.Tag.pointwise in func.tags


def _is_unsettled(name: str, args: tuple) -> bool:
    return name in _UNSETTLED or (name == "aten::nll_loss2d_forward" and args[3] != 0)  # 0: no mean, no sum


def _place() -> str:
    """File and function that are executed: of this project or of any package but torch."""
    frame = sys._getframe(3)
    while frame and not _shown(frame.f_code.co_filename):
        frame = frame.f_back
    return f"{_shown(frame.f_code.co_filename)}:{frame.f_code.co_name}" if frame else "?"


@functools.cache
def _shown(file: str) -> str:
    """A file as messages name it, "" for those that are passed over."""
    path = Path(file)
    if path.is_relative_to(_PACKAGES / "torch") or path == Path(__file__):
        return ""
    roots = [root for root in (_PACKAGES, _PROJECT) if path.is_relative_to(root)]
    return str(path.relative_to(roots[0])) if roots else ""


_autocast_init = torch.autocast.__init__


def _autocast(self: torch.autocast, device_type: str, *args: Any, **kwargs: Any) -> None:
    """Autocast of the CPU, which acts on these tensors."""
    _autocast_init(self, CPU.type, *args, **kwargs)


def _grouped(tensors: Any, with_indices: bool = False) -> dict:
    """By device and type, as the optimiser and the clipping of gradients ask for them."""
    grouped = _group_tensors_by_device_and_dtype(tensors, with_indices)
    claimed = {key: next(each for each in lists[0] if each is not None).device for key, (lists, _) in grouped.items()}
    return {(claimed[key], key[1]): value for key, value in grouped.items()}


_PATCHES = (
    (torch.autocast, "__init__", _autocast),
    (sys.modules[torch.optim.Optimizer.__module__], "_group_tensors_by_device_and_dtype", _grouped),
    (torch.nn.utils.clip_grad, "_group_tensors_by_device_and_dtype", _grouped),
    (torch.cuda, "get_device_name", lambda device=None: "a pretended GPU"),
)
