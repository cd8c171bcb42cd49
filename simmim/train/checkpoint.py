"""Checkpoints: a folder per step that is either whole, with digests that are checked on reading, or not there."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from simmim.files import sha256_file, sync_folder, write_text

FORMAT = 1
_FILES = "model.safetensors", "optimizer.safetensors"


def save(folder: Path, step: int, model: nn.Module, optimizer: torch.optim.Optimizer, **manifest: Any) -> None:
    """Write `folder/step-########`, then remove all but the two newest."""
    write(folder / f"step-{step:08d}", step, model, optimizer, **manifest)
    for old in _steps(folder)[:-2]:
        shutil.rmtree(old)


def write(target: Path, step: int, model: nn.Module, optimizer: torch.optim.Optimizer, **manifest: Any) -> None:
    """Write one checkpoint as the folder `target`.

    Everything is written and flushed under a temporary name; the rename is what makes the checkpoint exist.
    """
    draft = target.with_name(f".{target.name}.part")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    save_file({key: value.contiguous() for key, value in model.state_dict().items()}, draft / _FILES[0])
    save_file(_optimizer_tensors(model, optimizer), draft / _FILES[1])
    digests = {name: sha256_file(draft / name) for name in _FILES}
    manifest |= {"format": FORMAT, "step": step, "sha256": digests}
    write_text(draft / "manifest.json", json.dumps(manifest, indent=1))
    sync_folder(draft)
    shutil.rmtree(target, ignore_errors=True)
    draft.rename(target)
    sync_folder(target.parent)


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


def restore(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Load weights and optimiser state that `newest` has found sound; names and shapes must match exactly."""
    model.load_state_dict(load_file(path / _FILES[0]))
    tensors = load_file(path / _FILES[1])
    if not tensors:
        return  # saved before the first update
    names = {parameter: name for name, parameter in model.named_parameters()}
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            prefix = names[parameter] + "/"
            state = {key: tensors.pop(prefix + key) for key in ("step", "exp_avg", "exp_avg_sq")}
            optimizer.state[parameter] = {key: value.to(parameter.device) for key, value in state.items()}
    if tensors:
        raise ValueError(f"{path} holds optimiser state of unknown parameters: {sorted(tensors)[:3]}")


def _steps(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*"))


def verified_manifest(path: Path) -> dict[str, Any]:
    """The manifest of a checkpoint whose files have the digests they were written with.

    Raises:
        ValueError: for another format or another digest.
    """
    manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
    if manifest["format"] != FORMAT:
        raise ValueError(f"format {manifest['format']}, this version reads format {FORMAT}")
    for name, digest in manifest["sha256"].items():
        if sha256_file(path / name) != digest:
            raise ValueError(f"{name} does not have the digest it was written with")
    return manifest


def _optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """AdamW's moments by parameter name, so that they do not depend on the order of groups."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    return {
        f"{names[parameter]}/{key}": value.contiguous()
        for parameter, state in optimizer.state.items()
        for key, value in state.items()
    }
