"""The guard by itself: what is noted before an update, and what is said when the host looks later, as on a GPU."""

import json
import math

import pytest
import torch
from tasks import Numbers

from simmim.train.batch_sampler import BatchSampler
from simmim.train.guard import Guard, NonFiniteLoss
from simmim.train.processes import Processes

SAMPLER = BatchSampler(samples=40, batch=4, micro_batch=4, steps=10, seed=0)


@pytest.fixture
def optimizer():
    return torch.optim.AdamW([torch.nn.Parameter(torch.ones(3))], lr=0.1, fused=True)


def guard(optimizer):
    return Guard(optimizer, Processes(0, 1, torch.device("cpu")))


@pytest.mark.parametrize(
    ("loss", "norm"), [(math.nan, 1.0), (1.0, math.nan), (math.inf, 1.0), (1.0, math.inf), (-math.inf, math.nan)]
)
def test_a_loss_or_a_norm_that_is_not_finite_stops_the_update(optimizer, tmp_path, loss, norm):
    watching, (weight,) = guard(optimizer), optimizer.param_groups[0]["params"]
    watching.watch(0, torch.tensor(loss), torch.tensor(norm))
    weight.grad = torch.ones(3)
    optimizer.step()
    assert torch.equal(weight, torch.ones(3))
    with pytest.raises(NonFiniteLoss, match="step 0 is not finite"):
        watching.check(SAMPLER, Numbers(), tmp_path)


def test_finite_numbers_pass(optimizer, tmp_path):
    watching, (weight,) = guard(optimizer), optimizer.param_groups[0]["params"]
    watching.watch(0, torch.tensor(1e30), torch.tensor(0.0))
    watching.check(SAMPLER, Numbers(), tmp_path)
    weight.grad = torch.ones(3)
    optimizer.step()
    assert not torch.equal(weight, torch.ones(3)) and not list(tmp_path.iterdir())


def test_a_late_look_names_the_first_bad_step_and_no_later_step_has_moved_the_weights(optimizer, tmp_path):
    watching, (weight,) = guard(optimizer), optimizer.param_groups[0]["params"]
    for step, loss in enumerate((1.0, math.nan, 1.0, math.inf)):
        watching.watch(step, torch.tensor(loss), torch.tensor(1.0))
        weight.grad = torch.ones(3)
        optimizer.step()
        if step == 0:
            first = weight.clone()
    assert torch.equal(weight, first)
    with pytest.raises(NonFiniteLoss, match=r"of step 1 is not finite; no update was made\. Its 4 samples"):
        watching.check(SAMPLER, Numbers(), tmp_path)
    report = json.loads((tmp_path / "nonfinite.json").read_text())
    assert report == {"step": 1, "samples": [f"sample-{index}" for _, index in SAMPLER.keys(1)]}
