"""Checkpoints: a folder per step that is either whole, with digests that are checked on reading, or not there."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch.distributed as dist
from safetensors import safe_open
from torch import Tensor, nn
from torch.optim import Optimizer

from simmim.storage.files import draft_of, sha256_file, whole_folder
from simmim.storage.model_file import write_tensors
from simmim.storage.sealed_json import read_sealed, write_sealed
from simmim.train import sharded_checkpoint
from simmim.train.processes import Processes, told_by_main
from simmim.train.sharding import is_sharded, placed_like

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

    Everything is written and flushed under a temporary name; the rename is what makes the checkpoint exist.

    Args:
        is_main_process: whether this process writes what is not split; the others call too, for their parts.
    """
    split = is_sharded(model)
    if not (split or is_main_process):
        return
    with whole_folder(target) if is_main_process else nullcontext(draft_of(target)) as draft:
        if split:
            dist.barrier()  # the draft is there
            digests = sharded_checkpoint.write(draft, model, optimizer)
        else:
            digests = _write_whole(draft, model, optimizer)
        if is_main_process:
            write_sealed(draft / MANIFEST, manifest | {"format": FORMAT, "step": step, "sha256": digests})


def _write_whole(draft: Path, model: nn.Module, optimizer: Optimizer) -> dict[str, str]:
    for name, tensors in zip(_FILES, _tensors(model, optimizer)):
        write_tensors(draft / name, tensors)
    return {name: sha256_file(draft / name) for name in _FILES}


def _tensors(model: nn.Module, optimizer: Optimizer) -> Iterator[dict[str, Tensor]]:
    """What the two files hold, one after the other, in host memory.

    AdamW's moments go by parameter name, so they do not depend on the order of groups; there are none before the first
    update.
    """
    yield {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    states = {name: optimizer.state.get(parameter, {}) for name, parameter in model.named_parameters()}
    yield {f"{name}/{key}": value.cpu().contiguous() for name, state in states.items() for key, value in state.items()}


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


def newest_for_all(folder: Path, processes: Processes) -> tuple[Path, dict[str, Any]] | None:
    """What `newest` gives the main process, once every process has read the same.

    Raises:
        ValueError: as `newest`.
        RuntimeError: where this process reads something else, and so none may train; not foreseen, for another start
            may well read it.
    """
    found = told_by_main(lambda: newest(folder), processes)
    if found and not processes.is_main_process:
        path, manifest = found
        try:
            _verify(path, manifest)
        except (OSError, ValueError) as error:
            raise RuntimeError(
                f"process {processes.rank} does not read the {path} that the main process goes on from ({error}); see "
                "whether every node reaches the folder, and start again"
            ) from error
    return found


def restore(path: Path, model: nn.Module, optimizer: Optimizer) -> None:
    """Load weights and optimiser state that `newest` has found sound; names and shapes must match exactly.

    Tensor by tensor, so that a process which trains a part of the model never holds all of it.
    """
    if not (path / _FILES[0]).exists():
        sharded_checkpoint.read(path, model, optimizer)
        return
    _restore_model(path / _FILES[0], model)
    _restore_moments(path / _FILES[1], model, optimizer)


def _restore_moments(path: Path, model: nn.Module, optimizer: Optimizer) -> None:
    names = {parameter: name for name, parameter in model.named_parameters()}
    with safe_open(path, framework="pt") as file:
        left = set(file.keys())
        if not left:
            return  # saved before the first update
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                keys = {key: f"{names[parameter]}/{key}" for key in ("step", "exp_avg", "exp_avg_sq")}
                if left.isdisjoint(keys.values()):
                    continue  # saved before its first gradient
                if lacking := sorted({*keys.values()} - left):
                    raise ValueError(
                        f"{path} lacks {lacking[0]}; remove {path.parent}: the checkpoint before it may do"
                    )
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
    _verify(path, manifest)
    return manifest


def _verify(path: Path, manifest: dict[str, Any]) -> None:
    for name, digest in manifest["sha256"].items():
        if sha256_file(path / name) != digest:
            raise ValueError(f"{name} does not have the digest it was written with")
