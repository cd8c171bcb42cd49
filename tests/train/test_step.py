"""One step of the loop: the rate of each group, its draws, its number format, and the update of clipped gradients."""

import pytest
import torch
from agreement import FEW_STEPS
from safetensors.torch import load_file
from tasks import Numbers, Regression, make_task
from test_loop import timed

from simmim.config.training import TrainSettings
from simmim.train.schedule import set_learning_rates


@pytest.mark.parametrize(("clip_norm", "betas"), [(0.05, (0.9, 0.999)), (0, (0.9, 0.999)), (0.05, (0.5, 0.75))])
def test_one_update_averages_the_clipped_gradient(tmp_path, clip_norm, betas):
    _, history = timed(tmp_path, make_task(), clip_norm=clip_norm, betas=betas, **FEW_STEPS | {"epochs": 0.4})
    moments = load_file(tmp_path / "step-00000001" / "optimizer.safetensors")
    first = torch.cat([value.flatten() for name, value in moments.items() if name.endswith("/exp_avg")])
    second = torch.cat([value.flatten() for name, value in moments.items() if name.endswith("/exp_avg_sq")])
    norm = clip_norm or history[0]["grad_norm"]
    assert history[0]["grad_norm"] > 0.05  # so that it is clipped
    assert first.norm().item() == pytest.approx((1 - betas[0]) * norm, rel=1e-4)
    assert second.sum().item() == pytest.approx((1 - betas[1]) * norm**2, rel=1e-4)


class Listening(Regression):
    """Notes the draws and the number format that each step finds."""

    def __init__(self):
        super().__init__()
        self.draws, self.formats = [], []

    def forward(self, batch):
        self.draws.append(torch.rand(()).item())
        self.formats.append(torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else None)
        return super().forward(batch)


class Casting(Listening):
    own_autocast = True


def test_every_step_and_every_seed_has_draws_and_an_order_of_its_own(tmp_path):
    tasks, orders = [Listening(), Listening()], [Numbers(), Numbers()]
    for seed, (task, numbers) in enumerate(zip(tasks, orders)):
        timed(tmp_path / str(seed), task, numbers, seed=seed)
    assert len(set(tasks[0].draws + tasks[1].draws)) == 30
    assert orders[0].seen != orders[1].seen


@pytest.mark.parametrize(
    ("kind", "precision", "whole", "parts"),
    [
        (Listening, "bf16", torch.bfloat16, torch.bfloat16),
        (Listening, "fp32", None, None),
        (Casting, "bf16", None, torch.bfloat16),
        (Casting, "fp32", None, None),
    ],
)
def test_a_task_is_wrapped_in_the_number_format_or_told_it(tmp_path, kind, precision, whole, parts):
    task, _ = timed(tmp_path, kind(), precision=precision, **FEW_STEPS)
    assert set(task.formats) == {whole} and task.autocast_dtype == parts


def test_rates_of_all_groups_follow_the_schedule_from_their_own_peak():
    weights = [torch.nn.Parameter(torch.ones(1)) for _ in range(2)]
    optimizer = torch.optim.AdamW([{"params": weights[:1], "lr_scale": 0.5}, {"params": weights[1:]}])
    settings = TrainSettings(
        epochs=10, warmup_epochs=2, batch=8, base_lr=0.1, base_lr_batch=4, warmup_lr=0.01, min_lr=0.001
    )

    def rates(step, **changes):
        changed = settings.model_copy(update=changes)
        top = set_learning_rates(optimizer, changed, step, steps=50, samples=40)
        low, same = (group["lr"] for group in optimizer.param_groups)
        assert same == top
        return low, top

    assert rates(0) == pytest.approx((0.02, 0.02))
    assert rates(10) == pytest.approx((0.1, 0.2))
    assert rates(50) == pytest.approx((0.002, 0.002))
    steps = {"schedule": "step", "milestones": (0.5, 0.9), "gamma": 0.5}
    assert [rates(step, **steps)[1] for step in (24, 25, 44, 45)] == pytest.approx([0.2, 0.1, 0.1, 0.05])
    assert rates(10, released_cosine=True)[1] < 0.19
