from itertools import pairwise

import pytest
from official import GOLDEN, case

from simmim.train.schedule import learning_rate

CASES = sorted(path.stem for path in GOLDEN.glob("schedule_*.json"))
RUN = {"peak": 1.0, "steps": 100, "warmup_steps": 10, "warmup_lr": 0.1, "min_lr": 0.01}


@pytest.mark.parametrize("name", CASES)
def test_released_rates(name):
    record = case(name)
    settings, per_epoch = record["settings"], record["settings"]["iterations_per_epoch"]
    options = {
        "steps": settings["epochs"] * per_epoch,
        "schedule": {"cosine": "cosine", "multistep": "step"}[settings["schedule"]],
        "warmup_steps": settings["warmup_epochs"] * per_epoch,
        "warmup_lr": settings["warmup_lr"],
        "min_lr": settings["min_lr"] or 0.0,
        "milestones": [epoch * per_epoch for epoch in settings["milestones_epochs"]],
        "gamma": settings["gamma"],
        "warmup_offset": bool(settings["cosine_warmup_prefix"]),
    }
    assert len(record["t"]) > 100
    for scale, rates in record["lr_after_step_update_t"].items():
        for step, expected in zip(record["t"], rates, strict=True):
            got = learning_rate(step, peak=settings["peak_lr"] * float(scale), **options)
            assert got == pytest.approx(expected, rel=1e-12), (scale, step)


def test_cosine_is_continuous_and_ends_at_the_minimum():
    rates = [learning_rate(step, **RUN) for step in range(101)]
    assert rates[0] == 0.1 and rates[10] == 1.0 and rates[100] == 0.01
    assert rates[5] == pytest.approx(0.55)
    assert rates[55] == pytest.approx(0.505)
    assert all(a > b for a, b in pairwise(rates[10:]))


def test_released_cosine_drops_at_the_end_of_warmup():
    assert learning_rate(10, **RUN, warmup_offset=False) == pytest.approx(0.01 + 0.99 * 0.9755, abs=1e-4)


def test_steps():
    rates = [learning_rate(step, **RUN, schedule="step", milestones=[90, 95]) for step in (89, 90, 94, 95, 100)]
    assert rates == pytest.approx([1.0, 0.1, 0.1, 0.01, 0.01])


def test_linear_falls_evenly_from_the_end_of_warmup_to_the_minimum():
    rates = [learning_rate(step, **RUN, schedule="linear") for step in range(101)]
    assert rates[5] == pytest.approx(0.55) and rates[10] == 1.0 and rates[100] == 0.01
    assert [a - b for a, b in pairwise(rates[10:])] == pytest.approx([0.99 / 90] * 90)


def test_no_warmup():
    assert learning_rate(0, peak=0.5, steps=10) == 0.5


def test_a_low_peak_rises_to_the_common_minimum():
    low = RUN | {"peak": 0.001, "min_lr": 0.002, "warmup_lr": 0.002}
    assert learning_rate(10, **low) < learning_rate(60, **low) < learning_rate(100, **low)


@pytest.mark.parametrize(
    "changes, message",
    [({"schedule": "cosin"}, "did you mean 'cosine'"), ({"warmup_steps": 101}, "warmup_steps 101 must lie between")],
)
def test_mistakes_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        learning_rate(0, **RUN | changes)
