"""Spikes are noticed and said once, nothing that is computed changes, and ordinary curves raise no alarm."""

import json
import math
import random
from collections import defaultdict
from pathlib import Path

import pytest
import torch
from tasks import Numbers, make_task
from test_loop import assert_equal, train

from simmim.storage import records
from simmim.train import spikes
from simmim.train.guard import NonFiniteLoss

RESULTS = Path(__file__).parents[2] / "results" / "small"
SETTINGS = {"epochs": 12, "warmup_epochs": 2, "base_lr": 0.002, "log_every_steps": 2}
SPIKES_AT = 44  # of 60


def rows_of(losses, norms=None):
    norms = norms or [1.0] * len(losses)
    return [
        {"step": 10 * n, "max_loss": loss, "max_grad_norm": norm}
        for n, (loss, norm) in enumerate(zip(losses, norms), 1)
    ]


def noisy(count, around=1.0):
    draws = random.Random(0)
    return [around + 0.01 * draws.gauss(0, 1) for _ in range(count)]


def curves(at_high_rate=False):
    """Every committed curve with its warm-up, rows as the log has them; of sound runs or at 20 times the rate."""
    found = defaultdict(list)
    logs = {"loss": "pretrain/*/*/train", "grad_norm": "pretrain/*/*/train", "train_loss": "evaluate/*/*"}
    for metric, files in logs.items():
        frame = records.read(sorted(RESULTS.glob(f"{files}.parquet")))
        for name, rows in frame[frame["metric"] == metric].groupby(["run", "evaluation", "seed"]):
            if (name[0] == "lr_x20") == at_high_rate:
                found[metric, *name] = rows.sort_values("step")["value"].tolist()
    return found


def test_a_rate_that_is_far_too_high_raises_alarms():
    norms = [curve for (metric, *_), curve in curves(at_high_rate=True).items() if metric == "grad_norm"]
    assert len(norms) == 5 and any(spikes.count(rows_of([1.0] * len(curve), curve)) for curve in norms)


def test_no_committed_curve_of_a_sound_run_raises_an_alarm():
    found = curves()
    assert len(found) > 40 and max(map(len, found.values())) > 3 * 20
    assert {name: spikes.count(rows_of(curve)) for name, curve in found.items() if spikes.count(rows_of(curve))} == {}
    norms = {name: curve for name, curve in found.items() if name[0] == "grad_norm"}
    assert norms and not any(spikes.count(rows_of([1.0] * len(curve), curve)) for curve in norms.values())


def test_a_committed_curve_with_a_spike_in_it_raises_one():
    for (metric, *_), curve in curves().items():
        if len(curve) > 20:
            factor = 3 if metric == "loss" else 10  # losses under mixup go up and down by themselves
            assert spikes.count(rows_of([*curve[:15], factor * curve[15], *curve[16:]])) == 1


def test_median_and_deviations_by_hand():
    values = [0.9, 1.0, 1.1] * 4  # median 1.0, median absolute deviation 0.1: 7 x 1.4826 x 0.1 above is 2.0378
    assert spikes.spike_of(rows_of([*values, 2.037])) is None
    assert spikes.spike_of(rows_of([*values, 2.039])) == ("max_loss", 2.039, 1.0)
    flat = [1.0] * 12  # no deviation at all: half as high again
    assert spikes.spike_of(rows_of([*flat, 1.5])) is None
    assert spikes.spike_of(rows_of([*flat, 1.51])) == ("max_loss", 1.51, 1.0)
    assert spikes.spike_of(rows_of([*flat, 1.0], [*[2.0] * 12, 3.1])) == ("max_grad_norm", 3.1, 2.0)


def test_the_first_rows_and_those_before_the_window_say_nothing():
    assert spikes.spike_of(rows_of([1.0] * 9 + [100.0])) is None
    assert spikes.spike_of(rows_of([1.0] * 10 + [100.0])) is not None
    rows = rows_of([*[100.0] * 60, *noisy(spikes.WINDOW), 3.0])
    assert spikes.spike_of(rows) is not None
    assert spikes.count([{"step": 1, "loss": 1.0}] * 30) == 0  # rows of an earlier version


def spiking(monkeypatch, factor):
    """From here on the loss of step `SPIKES_AT` is multiplied, its gradient too."""
    task = make_task(dropout=0.3)
    plain, calls = type(task).forward, iter(range(10**6))

    def forward(self, batch):
        loss = plain(self, batch)
        return loss * factor if next(calls) == SPIKES_AT else loss

    monkeypatch.setattr(type(task), "forward", forward)
    return task


def test_a_spike_is_said_once_and_listed_and_the_update_is_made(tmp_path, monkeypatch, capsys):
    task = spiking(monkeypatch, 100.0)
    weights, history = train(tmp_path, task, **SETTINGS)
    told = [line for line in capsys.readouterr().out.splitlines() if "spike" in line]
    assert len(told) == 1 and f"the loss of step {SPIKES_AT} is" in told[0]
    report = tmp_path / f"spike-{SPIKES_AT:08d}.json"
    listed = json.loads(report.read_text())
    first = ", ".join(listed["samples"][:4])
    assert f"{report} until the training is done, begin with {first};" in told[0] and len(listed["samples"]) == 8
    assert listed["max_loss"] > 20 * listed["median"] and listed["max_loss"] == history[SPIKES_AT // 2]["max_loss"]
    assert spikes.count(history) == 1 and history[-1]["step"] == 60
    monkeypatch.undo()
    monkeypatch.setattr(spikes, "tell", lambda *_: None)
    assert_equal(train(tmp_path / "untold", spiking(monkeypatch, 100.0), **SETTINGS)[0], weights)


def test_no_update_of_an_undisturbed_training_spikes(tmp_path, capsys):
    _, history = train(tmp_path, **SETTINGS)
    assert spikes.count(history) == 0 and "spike" not in capsys.readouterr().out and not list(tmp_path.glob("spike-*"))


def test_a_finite_loss_with_a_gradient_that_is_not_finite_stops_before_the_update(tmp_path, monkeypatch):
    task = make_task()
    before = {name: value.clone() for name, value in task.state_dict().items()}
    plain = type(task).forward
    zero = torch.zeros(())

    def forward(self, batch):
        weight = next(self.parameters())
        return plain(self, batch) + torch.sqrt(zero * weight.sum())  # 0, whose gradient is 0 x infinity

    monkeypatch.setattr(type(task), "forward", forward)
    with pytest.raises(NonFiniteLoss, match="gradient of step 0 is not finite") as stopped:
        train(tmp_path, task)
    assert_equal(task.state_dict(), before)
    assert isinstance(stopped.value, ArithmeticError)  # which the command line leaves with exit code 4
    with torch.no_grad():
        assert math.isfinite(plain(task, Numbers().__getitems__([(0, 0)])))
