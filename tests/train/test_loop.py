"""The loop: exact resume after a kill, accumulation, processes, refusals, and a stop before a spoilt update."""

import json
import multiprocessing
import os
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest
import torch
from agreement import FEW_STEPS, assert_two_steps_agree
from safetensors.torch import load_file
from tasks import Numbers, make_task

from simmim.config.training import TrainSettings
from simmim.storage.identity import Identity
from simmim.train import checkpoint
from simmim.train.batch_sampler import BatchSampler
from simmim.train.guard import NonFiniteLoss
from simmim.train.loop import Run, fit
from simmim.train.processes import Processes

ALONE = Processes(0, 1, torch.device("cpu"))
SETTINGS = {
    "epochs": 3,
    "warmup_epochs": 1,
    "batch": 8,
    "base_lr": 0.01,
    "base_lr_batch": 8,
    "clip_norm": 0.5,
    "precision": "fp32",
    "log_every_steps": 2,
    "save_every_steps": 4,
}


def train(state, *arguments, **changes):
    """Trained weights and the log without its times."""
    task, history = timed(state, *arguments, **changes)
    return task.state_dict(), without_times(history)


def without_times(history):
    return [{key: row[key] for key in row.keys() - {"device_seconds", "wait_seconds"}} for row in history]


def timed(state, task=None, dataset=None, config=None, processes=ALONE, seed=0, **changes):
    task, dataset = task or make_task(dropout=0.3), dataset or Numbers()
    settings = TrainSettings(**(SETTINGS | changes))
    groups = [{"params": list(task.parameters()), "weight_decay": 0.05}]
    run = Run(Identity(config or {"a": {"b": 1}}, seed), state, "test")
    return task, fit(task, dataset, groups, settings, run, processes).history


def assert_equal(one, other):
    assert one.keys() == other.keys()
    for name in one:
        assert torch.equal(one[name], other[name]), name


def test_the_loss_falls_and_is_logged(tmp_path):
    _, history = train(tmp_path, make_task(), epochs=20)
    assert [row["step"] for row in history] == list(range(2, 101, 2))
    assert history[-1]["loss"] < 0.3 * history[0]["loss"]
    assert history[0]["lr"] < 0.01 and max(row["lr"] for row in history) == pytest.approx(0.01, rel=0.01)


def test_repeated_images_reach_the_task_with_draws_of_their_own(tmp_path):
    numbers = Numbers()
    train(tmp_path, dataset=numbers, epochs=1, repeats=2)
    assert len(numbers.seen) == len(set(numbers.seen)) == 40
    images = [image for _, image in numbers.seen]
    assert images[::2] == images[1::2] and len(set(images)) == 20
    assert {draw for draw, _ in numbers.seen} == {0, 1}


@pytest.fixture
def start(monkeypatch):
    """Starts `killed_run.run` in a process that is forked from one which has imported everything."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), *sys.path]))
    import killed_run  # which imports this module

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["killed_run"])

    def process(out, pause):
        started = context.Event()
        made = context.Process(target=killed_run.run, args=(out, started, pause))
        made.start()
        assert started.wait(60)
        return made

    return process


def test_a_run_killed_at_any_moment_resumes_to_the_same_bits(tmp_path, start):
    """kill -9 again and again, wherever it hits, a save included; the end must be that of an uninterrupted run."""
    expected, history = train(tmp_path / "whole", epochs=8)
    kills = 0
    for seconds in (0.05, 0.15, 0.3, 0.5):
        process = start(tmp_path / "killed", pause=0.02)
        time.sleep(seconds)
        process.kill()
        process.join(30)
        kills += process.exitcode == -signal.SIGKILL
    assert kills >= 2
    process = start(tmp_path / "killed", pause=0)
    process.join(120)
    assert process.exitcode == 0
    assert_equal(load_file(tmp_path / "killed" / "final.safetensors"), expected)
    assert json.loads((tmp_path / "killed" / "history.json").read_text()) == history


def assert_agrees(folder, history, whole, expected):
    """Weights, moments and the logged loss and norm; AdamW alone would not see a wrong scale of the gradient."""
    assert_two_steps_agree(whole, folder)
    for row, other in zip(without_times(expected)[:2], without_times(history)[:2], strict=True):
        assert other == pytest.approx(row, rel=1e-5)


@pytest.mark.parametrize("clip_norm", [0, 0.5])
def test_micro_batches_equal_one_batch(tmp_path, clip_norm):
    task, expected = timed(tmp_path / "1", make_task(), clip_norm=clip_norm, **FEW_STEPS)
    assert not torch.equal(task.net[0].weight, make_task().net[0].weight)
    _, history = timed(tmp_path / "2", make_task(), clip_norm=clip_norm, micro_batch=2, **FEW_STEPS)
    assert_agrees(tmp_path / "2", history, tmp_path / "1", expected)


@pytest.mark.parametrize(("name", "clip_norm"), [("clipped", 0.5), ("free", 0)])
def test_two_processes_equal_one(tmp_path, together, name, clip_norm):
    """Gradients, clipping, order of samples and learning rates are those of one process, over gloo."""
    _, expected = timed(tmp_path, make_task(), clip_norm=clip_norm, **FEW_STEPS)
    history = json.loads((together / f"{name}.json").read_text())
    assert_agrees(together / name, history, tmp_path, expected)


def test_a_resumed_run_counts_the_time_of_its_own_steps(tmp_path):
    """What was lost with the crash is not part of the result, so it is no cost of it; what was kept is counted once."""
    began = time.monotonic()
    _, first = timed(tmp_path, make_task())
    whole = sum(row["device_seconds"] for row in first)
    assert 0 < whole < time.monotonic() - began
    shutil.rmtree(tmp_path / "step-00000015")  # the newest is that of step 12 then
    _, resumed = timed(tmp_path, make_task())
    assert resumed[:6] == first[:6] and [row["step"] for row in resumed] == [row["step"] for row in first]
    assert all(again["device_seconds"] != row["device_seconds"] for again, row in zip(resumed[6:], first[6:]))


def test_the_task_hears_of_every_update(tmp_path):
    task, heard = make_task(), []
    task.after_update = lambda step, steps: heard.append((step, steps))
    timed(tmp_path, task)
    assert heard == [(step, 15) for step in range(1, 16)]


def test_the_log_and_the_checkpoints_end_with_the_last_step(tmp_path):
    _, history = train(tmp_path / "15")
    assert [row["step"] for row in history] == [2, 4, 6, 8, 10, 12, 14, 15]
    train(tmp_path / "16", epochs=3.2)
    assert [path.name for path in sorted((tmp_path / "16").iterdir())] == ["step-00000012", "step-00000016"]


def test_the_order_of_samples_does_not_depend_on_workers(tmp_path):
    plain, worked = (train(tmp_path / str(n), make_task(), workers=n)[0] for n in (0, 2))
    assert_equal(plain, worked)


def test_a_spoilt_sample_stops_before_the_update_and_is_named(tmp_path):
    dataset, task = Numbers(spoilt=17), make_task()
    clean = Numbers()
    with pytest.raises(NonFiniteLoss, match=r"step (\d+) is not finite; no update was made") as stopped:
        train(tmp_path / "spoilt", task, dataset)
    step = int(str(stopped.value).split("of step ")[1].split()[0])
    listed = json.loads((tmp_path / "spoilt" / "nonfinite.json").read_text())
    assert listed["step"] == step and "sample-17" in listed["samples"] and len(listed["samples"]) == 8
    before = make_task()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BatchSampler, "__iter__", _only_until(step))
        with pytest.raises(StopIteration):
            train(tmp_path / "until", before, clean)
    assert_equal(task.state_dict(), before.state_dict())


def _only_until(stop):
    original = BatchSampler.__iter__

    def cut_short(self):
        for count, keys in enumerate(original(self)):
            if count == stop:
                return
            yield keys

    return cut_short


def test_a_changed_config_is_refused_with_the_differing_fields(tmp_path):
    train(tmp_path)
    with pytest.raises(ValueError, match=r"a\.b: 1 before, 2 now"):
        train(tmp_path, config={"a": {"b": 2}})


def test_a_damaged_checkpoint_falls_back_to_the_one_before_and_never_to_nothing(tmp_path, capsys):
    expected, _ = train(tmp_path)
    steps = sorted(tmp_path.glob("step-*"))
    assert [path.name for path in steps] == ["step-00000012", "step-00000015"]
    flip_a_bit(steps[1] / "model.safetensors")
    resumed, _ = train(tmp_path)
    assert "is damaged" in capsys.readouterr().out
    assert_equal(resumed, expected)
    for path in tmp_path.glob("step-*"):
        flip_a_bit(path / "optimizer.safetensors")
    with pytest.raises(ValueError, match="no sound checkpoint among 2"):
        checkpoint.newest(tmp_path)


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[-3] ^= 4
    path.write_bytes(content)


def test_zero_epochs_leave_the_network_alone(tmp_path):
    state, history = train(tmp_path, make_task(), epochs=0, warmup_epochs=1)
    assert history == []
    assert_equal(state, make_task().state_dict())


def test_a_training_that_would_make_no_update_is_refused_and_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match=r"0\.4 updates: 40 images x 3 epochs / batch 300 round to none"):
        train(tmp_path / "state", batch=300)
    assert not (tmp_path / "state").exists()


def test_tiny_micro_batches_are_told_where_a_training_begins(tmp_path, capsys):
    train(tmp_path / "tiny", batch=14, micro_batch=6)
    assert capsys.readouterr().out.startswith("test: 7 micro-batches of 2 make an update: no larger number up to ")
    train(tmp_path / "tiny", batch=14, micro_batch=6)
    train(tmp_path / "fitting", batch=12, micro_batch=6)
    assert "micro-batches" not in capsys.readouterr().out, "there is nothing to train, or nothing to tell"
