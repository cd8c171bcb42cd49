"""When two trainings of the same steps, summed up in another order, count as equal."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file

# Three steps of 8 in 40 samples.
FEW_STEPS = {
    "base_lr": 1e-3,
    "epochs": 0.6,
    "warmup_epochs": 0,
    "log_every_steps": 1,
    "save_every_steps": 1,
}


def assert_two_steps_agree(one: Path, two: Path) -> None:
    """Compare the checkpoints after two steps, for training is chaotic: rounding errors grow with every further one.

    Another order of summation changes a gradient by some 1e-7 of the largest one, so moments must agree to 1e-6 of
    that. AdamW moves a weight by the learning rate whatever the size of its gradient: where the gradient is rounding
    error, so is the update. Weights are therefore compared where the gradient is above 1e-4 of the largest: its error
    is at most 1e-2 of itself, and the update's at most 1e-2 of the rate, which is 1e-3.
    """
    weights, others = (load_file(folder / "step-00000002" / "model.safetensors") for folder in (one, two))
    moments, theirs = (load_file(folder / "step-00000002" / "optimizer.safetensors") for folder in (one, two))
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
