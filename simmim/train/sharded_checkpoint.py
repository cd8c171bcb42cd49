"""Checkpoints of sharded training: every process writes its parts, any number of processes reads them.

safetensors with the place of each part in its header, by `torch.distributed.checkpoint`; nothing is gathered, and
nothing pickled.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.optim import Optimizer

from simmim.storage.files import named, sha256_file
from simmim.train.processes import of_all_processes
from simmim.train.sharding import is_split

_MOMENTS = "exp_avg", "exp_avg_sq"


def write(folder: Path, model: nn.Module, optimizer: Optimizer) -> dict[str, str]:
    """Write model and optimiser into a folder that all processes see; returns the digest of every file.

    Every process calls it. What is not split is written by the first one.
    """
    import torch.distributed.checkpoint as dcp  # here, for it takes a second

    state = _state(model, optimizer)
    if dist.get_rank():
        state = {name: value for name, value in state.items() if is_split(value)}
    with named(folder), _first_failure():
        dcp.save(state, storage_writer=dcp.HuggingFaceStorageWriter(str(folder), save_distributed=True))
    dist.barrier()  # all files are there
    mine = sorted(folder.glob("*.safetensors"))[dist.get_rank() :: dist.get_world_size()]
    digests = of_all_processes({path.name: sha256_file(path) for path in mine})
    return {name: digest for some in digests for name, digest in some.items()}


def read(folder: Path, model: nn.Module, optimizer: Optimizer) -> None:
    """Load what `write` wrote, into a model that is split over any number of processes, or not at all.

    Raises:
        ValueError: for names that are not the model's own.
    """
    import torch.distributed.checkpoint as dcp

    reader = dcp.HuggingFaceStorageReader(str(folder))
    saved = set(reader.read_metadata().state_dict_metadata)
    _make_moments(saved, model, optimizer)
    state = _state(model, optimizer)
    if other := sorted(saved ^ state.keys()):
        raise ValueError(f"{folder} does not hold this model and its optimiser: {other[:3]} stand in one of them only")
    with warnings.catch_warnings(), _first_failure():
        warnings.filterwarnings("ignore", ".*assuming the intent is to load in a single process", UserWarning)
        dcp.load(state, storage_reader=reader, no_dist=not dist.is_initialized())


@contextmanager
def _first_failure() -> Iterator[None]:
    """Raise on every process what one of them came upon; PyTorch wraps it in what is no `Exception`."""
    from torch.distributed.checkpoint import CheckpointException

    try:
        yield
    except CheckpointException as error:
        failure, _ = next(iter(error.failures.values()))
        raise failure from None


def _state(model: nn.Module, optimizer: Optimizer) -> dict[str, Tensor]:
    """The tensors themselves, by name."""
    state = {f"model/{name}": value for name, value in model.state_dict().items()}
    for name, parameter in model.named_parameters():
        state |= {f"optimizer/{name}/{key}": value for key, value in optimizer.state.get(parameter, {}).items()}
    return state


def _make_moments(saved: set[str], model: nn.Module, optimizer: Optimizer) -> None:
    """Room for the moments that were saved."""
    for name, parameter in model.named_parameters():
        if f"optimizer/{name}/step" in saved:
            room = {key: torch.empty_like(parameter, requires_grad=False) for key in _MOMENTS}
            optimizer.state[parameter] = {"step": torch.zeros((), device=parameter.device), **room}
