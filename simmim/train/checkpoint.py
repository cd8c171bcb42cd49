"""Checkpoints: a folder per step that is either whole, with digests that are checked on reading, or not there."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from safetensors import safe_open
from torch import Tensor, nn
from torch.optim import Optimizer

from simmim.storage.files import sha256_file, whole_folder
from simmim.storage.model_file import write_tensors
from simmim.storage.sealed_json import read_sealed, write_sealed
from simmim.train.sharding import placed_like

FORMAT = 2
KEPT = 2
MANIFEST = "manifest.json"
_FILES = "model.safetensors", "optimizer.safetensors"


def save(
    folder: Path, step: int, model: nn.Module, optimizer: Optimizer, is_main_process: bool = True, **manifest: Any
) -> None:
    """Write `folder/step-########` and remove older ones but one; arguments as `write`.

    Those of later steps go too: a training that has come here again found them damaged.
    """
    path = folder / f"step-{step:08d}"
    write(path, step, model, optimizer, is_main_process, **manifest)
    if is_main_process:
        kept = [each for each in _steps(folder) if each.name <= path.name][-KEPT:]
        for other in [each for each in _steps(folder) if each not in kept]:
            shutil.rmtree(other)


def write(
    target: Path, step: int, model: nn.Module, optimizer: Optimizer, is_main_process: bool = True, **manifest: Any
) -> None:
    """Write one checkpoint as the folder `target`.

    Everything is written and flushed under a temporary name; the rename is what makes the checkpoint exist. The files
    hold whole tensors, however many processes they are split over.

    Args:
        is_main_process: whether this process writes; the others call too, for their parts of split tensors are needed.
    """
    with whole_folder(target) if is_main_process else nullcontext() as draft:
        for name, tensors in zip(_FILES, _whole_tensors(model, optimizer)):
            if is_main_process:
                write_tensors(draft / name, {key: value.contiguous() for key, value in tensors.items()})
        if is_main_process:
            digests = {name: sha256_file(draft / name) for name in _FILES}
            write_sealed(draft / MANIFEST, manifest | {"format": FORMAT, "step": step, "sha256": digests})


def _whole_tensors(model: nn.Module, optimizer: Optimizer) -> Iterator[dict[str, Tensor]]:
    """What the two files hold, one after the other; the first process gets it, in host memory, the others nothing.

    AdamW's moments go by parameter name, so they do not depend on the order of groups. There are none before the first
    update, where `get_optimizer_state_dict` would make some with a step already counted.
    """
    from torch.distributed.checkpoint import state_dict as gathered  # here, for it takes a second

    options = gathered.StateDictOptions(full_state_dict=True, cpu_offload=True)
    yield gathered.get_model_state_dict(model, options=options)
    state = gathered.get_optimizer_state_dict(model, optimizer, options=options) if optimizer.state else {}
    moments = state.get("state", {})
    yield {f"{name}/{key}": value for name, each in moments.items() for key, value in each.items()}


def newest(folder: Path) -> tuple[Path, dict[str, Any]] | None:
    """The newest sound checkpoint and its manifest, or None when nothing was ever saved.

    Raises:
        ValueError: when checkpoints are there but none is sound; a run is never restarted silently.
    """
    steps = _steps(folder)
    problems = []
    for path in reversed(steps):
        try:
            return path, verified_manifest(path)
        except (OSError, ValueError, KeyError) as error:
            problems.append(f"  {path}: {error}")
            print(f"checkpoint {path} is damaged ({error}); trying the one before", flush=True)
    if steps:
        listing = "\n".join(problems)
        raise ValueError(f"no sound checkpoint among {len(steps)}; remove the folder to start anew:\n{listing}")
    return None


def restore(path: Path, model: nn.Module, optimizer: Optimizer) -> None:
    """Load weights and optimiser state that `newest` has found sound; names and shapes must match exactly.

    Tensor by tensor, so that a process which trains a part of the model never holds all of it. The setters of
    `torch.distributed.checkpoint.state_dict` need more: one process that holds the whole state, or, where each brings
    its part, moments and gradients of zeros beside the moments that are loaded.
    """
    _restore_model(path / _FILES[0], model)
    names = {parameter: name for name, parameter in model.named_parameters()}
    with safe_open(path / _FILES[1], framework="pt") as file:
        left = set(file.keys())
        if not left:
            return  # saved before the first update
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                keys = {key: f"{names[parameter]}/{key}" for key in ("step", "exp_avg", "exp_avg_sq")}
                moments = {key: placed_like(parameter, file.get_tensor(keys[key])) for key in ("exp_avg", "exp_avg_sq")}
                moments["step"] = file.get_tensor(keys["step"])
                optimizer.state[parameter] = {key: value.to(parameter.device) for key, value in moments.items()}
                left -= set(keys.values())
    if left:
        raise ValueError(f"{path} holds optimiser state of unknown parameters: {sorted(left)[:3]}")


def _restore_model(path: Path, model: nn.Module) -> None:
    own = model.state_dict()
    with safe_open(path, framework="pt") as file:
        names = file.keys()
        state = {name: placed_like(own[name], file.get_tensor(name)) for name in names if name in own}
        state |= {name: file.get_tensor(name) for name in names if name not in own}  # refused below, with its name
    model.load_state_dict(state)


def _steps(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*"))


def verified_manifest(path: Path) -> dict[str, Any]:
    """The manifest of a checkpoint whose files have the digests they were written with.

    Raises:
        ValueError: for another format or another digest.
    """
    manifest = read_sealed(path / MANIFEST)
    if manifest["format"] != FORMAT:
        raise ValueError(f"format {manifest['format']}, this version reads format {FORMAT}")
    for name, digest in manifest["sha256"].items():
        if sha256_file(path / name) != digest:
            raise ValueError(f"{name} does not have the digest it was written with")
    return manifest
