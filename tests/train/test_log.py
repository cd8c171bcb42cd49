"""The log: means of its own steps over all processes, and the time of all of them."""

import json
import time

import pytest
import torch

from simmim.train.batch_sampler import BatchSampler
from simmim.train.log import TrainLog
from simmim.train.processes import Processes

SAMPLER = BatchSampler(samples=40, batch=4, micro_batch=4, steps=10, seed=0, world=2)


@pytest.fixture
def clock(monkeypatch):
    """What the clock shows next."""
    now = [100.0]
    monkeypatch.setattr("simmim.train.log.time.monotonic", lambda: now[0])
    return now


def log(history, rank=0, world=1, begun=None):
    return TrainLog("test", history, begun or {}, SAMPLER, Processes(rank, world, torch.device("cpu")))


def largest(loss, norm, waited=0.0):
    return {"max_loss": loss, "max_grad_norm": norm, "wait_seconds": waited}


def test_a_row_is_the_mean_since_the_last_one(clock):
    history = [{"step": 1, "loss": 9.0}]
    rows = log(history)
    for loss, norm in ((1.0, 10.0), (2.0, 20.0)):
        rows.add(torch.tensor(loss), torch.tensor(norm))
    clock[0] = 103.0
    assert rows.write_row(3, 0.1, 0.5) == [(1.0, 10.0), (2.0, 20.0)]
    rows.add(torch.tensor(5.0), torch.tensor(7.0))
    clock[0] = 104.0
    rows.write_row(4, 0.2, 0.75)
    assert history == [
        {"step": 1, "loss": 9.0},
        {"step": 3, "lr": 0.1, "loss": 1.5, "grad_norm": 15.0, "device_seconds": 3.0} | largest(2.0, 20.0, 0.5),
        {"step": 4, "lr": 0.2, "loss": 5.0, "grad_norm": 7.0, "device_seconds": 1.0} | largest(5.0, 7.0, 0.25),
    ]


def test_two_processes_give_one_mean_and_twice_the_time(clock, monkeypatch):
    monkeypatch.setattr(
        "simmim.train.log.dist.all_reduce", lambda sums: sums.add_(torch.tensor([[2.0, 2.0], [4.0, 2.0]]))
    )
    history = []
    rows = log(history, world=2)
    for _ in range(2):
        rows.add(torch.tensor(1.0), torch.tensor(2.0))
    clock[0] = 103.0
    rows.write_row(2, 0.1, 1.0)
    (row,) = history
    assert row == {"step": 2, "lr": 0.1, "loss": 2.0, "grad_norm": 2.0, "device_seconds": 6.0} | largest(2.5, 2.0, 2.0)


@pytest.mark.parametrize(("rank", "rows", "shown"), [(0, 1, "loss 0.2500"), (0, 0, "loss 0.5000"), (1, 1, "")])
def test_the_main_process_shows_the_last_row_and_before_the_first_one_the_last_loss(rank, rows, shown, capsys):
    history = [{"step": 5, "loss": 0.25}] * rows
    rows = log(history, rank, world=2)
    rows.add(torch.tensor(0.5), torch.tensor(1.0))
    rows.show(10, 0.5, waited_seconds=0.0)
    lines = capsys.readouterr().err
    assert bool(lines) == bool(shown) and (f"test 10/10 epoch 1.0 {shown} lr 5.0e-01" in lines or not shown)


def test_only_the_main_process_repeats_its_last_line(monkeypatch, capsys):
    """Of a job of several processes, the log would end with what another one repeats, and hide how far it is."""
    now = [0.0]
    monkeypatch.setattr("simmim.train.progress.time.monotonic", lambda: now[0])
    monkeypatch.setattr("simmim.train.progress._LOOK_SECONDS", 0.01)
    for rank, repeated in ((0, "test (1:00 on it)\n"), (1, "")):
        said, looks = "", 500 if repeated else 20
        with log([], rank, world=2):
            now[0] += 60
            while looks and not said:
                time.sleep(0.02)
                said, looks = capsys.readouterr().err, looks - 1
        assert said == repeated


def test_a_row_that_was_begun_before_a_stop_is_the_mean_of_all_its_steps(clock):
    whole, cut = [], []
    rows = log(whole)
    for loss in (0.1, 0.2, 0.4):
        rows.add(torch.tensor(loss), torch.tensor(1.0))
    clock[0] = 103.0
    rows.write_row(3, 0.1, 0.75)
    clock[0] = 100.0
    rows = log(cut)
    rows.add(torch.tensor(0.1), torch.tensor(1.0))
    clock[0] = 101.0
    begun = json.loads(json.dumps(rows.begun(0.25)))
    clock[0] = 200.0
    rows = log(cut, begun=begun)
    for loss in (0.2, 0.4):
        rows.add(torch.tensor(loss), torch.tensor(1.0))
    clock[0] = 202.0
    rows.write_row(3, 0.1, 0.5)
    assert cut == whole


@pytest.mark.parametrize(
    ("world", "rank", "updates"), [(2, 1, [3.0, 4.0]), (1, 0, [2.0, 3.0]), (3, 0, [6.0, 9.0]), (3, 1, [0.0, 0.0])]
)
def test_as_many_processes_take_their_own_updates_and_otherwise_the_first_takes_all(clock, world, rank, updates):
    begun = {"updates": [[[1.0, 2.0]], [[3.0, 4.0]]], "seconds": 2.0}
    assert [each.tolist() for each in log([], rank, world, begun)._updates] == [updates]


def test_a_row_that_an_earlier_version_began_goes_on(clock):
    history = []
    rows = log(history, begun={"sums": [[3.0, 6.0]], "steps": 2, "seconds": 2.0})
    rows.add(torch.tensor(3.0), torch.tensor(9.0))
    rows.write_row(3, 0.1, 0.0)
    assert history[0]["loss"] == 2.0 and history[0]["grad_norm"] == 5.0
