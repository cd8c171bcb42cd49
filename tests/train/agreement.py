"""When two trainings of the same steps, summed up in another order, count as equal."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
import torch.distributed.checkpoint as dcp
from safetensors.torch import load_file

# Three steps of 8 in 40 samples.
FEW_STEPS = {
    "base_lr": 1e-3,
    "epochs": 0.6,
    "warmup_epochs": 0,
    "log_every_steps": 1,
    "save_every_steps": 1,
}


def checkpoint_of(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Tensors of a model and of its optimiser by name, whole; those of sharded training lie in parts."""
    if (path / "model.safetensors").exists():
        return load_file(path / "model.safetensors"), load_file(path / "optimizer.safetensors")
    saved = dcp.HuggingFaceStorageReader(str(path)).read_metadata().state_dict_metadata
    whole = {name: torch.empty(about.size, dtype=about.properties.dtype) for name, about in saved.items()}
    with warnings.catch_warnings(action="ignore"):
        dcp.load(whole, storage_reader=dcp.HuggingFaceStorageReader(str(path)), no_dist=True)
    model, optimizer = (
        {n.partition("/")[2]: v for n, v in whole.items() if n.startswith(k)} for k in ("model/", "opt")
    )
    return model, optimizer


def assert_two_steps_agree(one: Path, two: Path) -> None:
    """Compare the checkpoints after two steps, for training is chaotic: rounding errors grow with every further one.

    Another order of summation changes a gradient by some 1e-7 of the largest one, so moments must agree to 1e-6 of
    that. AdamW moves a weight by the learning rate whatever the size of its gradient: where the gradient is rounding
    error, so is the update. Weights are therefore compared where the gradient is above 1e-4 of the largest: its error
    is at most 1e-2 of itself, and the update's at most 1e-2 of the rate, which is 1e-3.
    """
    (weights, moments), (others, theirs) = (checkpoint_of(folder / "step-00000002") for folder in (one, two))
    assert weights.keys() == others.keys() and moments.keys() == theirs.keys()
    largest = max(value.abs().max() for name, value in moments.items() if name.endswith("/exp_avg"))
    for name, value in moments.items():
        scale = {"step": 0, "exp_avg": largest, "exp_avg_sq": largest**2}[name.rsplit("/", 1)[1]]
        assert (theirs[name] - value).abs().max() <= 1e-6 * scale, name
    compared = 0
    for name, value in weights.items():
        if f"{name}/exp_avg" in moments:
            clear = moments[f"{name}/exp_avg"].abs() > 1e-4 * largest
            compared += clear.any().item()
            torch.testing.assert_close(others[name][clear], value[clear], rtol=0, atol=1e-5, msg=name)
    assert compared > 0.6 * len(moments) / 3
