"""When a training saves and stops: asked by a signal, by the time given, by the clock; and what hangs is ended."""

import os
import signal
import socket
import sys
import time

import pytest
import torch
from tasks import Numbers, make_task
from test_loop import ALONE, assert_equal, timed, train, without_times

from simmim import stopping
from simmim.config.training import TrainSettings
from simmim.train import checkpoint, saver
from simmim.train.processes import joined_processes
from simmim.train.watchdog import Watchdog


def steps(folder):
    return [int(path.name.removeprefix("step-")) for path in sorted(folder.glob("step-*"))]


@pytest.fixture
def signalled(monkeypatch):
    """Has a signal sent while a step computes its learning rate."""

    def at(step, number=signal.SIGTERM):
        from simmim.train import loop

        real = loop.set_learning_rates

        def sent(optimizer, settings, now, *rest):
            if now == step:
                os.kill(os.getpid(), number)
            return real(optimizer, settings, now, *rest)

        monkeypatch.setattr(loop, "set_learning_rates", sent)

    return at


@pytest.mark.parametrize("step", [0, 4, 7])
def test_a_training_that_is_asked_to_stop_saves_its_step_and_ends_with_the_same_bits(
    tmp_path, signalled, step, monkeypatch
):
    """Between two rows of the log, too: rows are the means of all their steps."""
    expected, history = train(tmp_path / "whole")
    signalled(step)
    with stopping.heeded(), pytest.raises(stopping.Stopped, match=f"got SIGTERM; test is saved at step {step + 1}; "):
        train(tmp_path / "cut")
    assert steps(tmp_path / "cut")[-1] == step + 1
    monkeypatch.undo()
    resumed, again = train(tmp_path / "cut")
    assert_equal(resumed, expected)
    assert again == history


def test_a_signal_in_the_last_step_stops_nothing(tmp_path, signalled):
    signalled(14)
    with stopping.heeded():
        train(tmp_path)
    assert steps(tmp_path)[-1] == 15


def test_a_checkpoint_is_due_after_some_minutes(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("simmim.train.saver.time.monotonic", lambda: now[0])
    settings = TrainSettings(epochs=1, batch=1, base_lr=1, save_every_minutes=1, save_every_steps=1000)
    written = []
    one = saver.Saver("test", range(100), settings, ALONE, lambda step, begun: written.append(step))
    for step in range(1, 101):
        now[0] += 25
        if one.due(step):
            one.save(step, {})
    assert written == [*range(3, 100, 3), 100]


def slowly(write):
    """The same, as on a disk that takes its time."""

    def written(*arguments):
        time.sleep(0.5)
        write(*arguments)

    return written


def asked(rank, port, out):
    place = {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.environ.update(place, SIMMIM_DEVICE="cpu")
    torch.set_num_threads(1)
    checkpoint.write_tensors = slowly(checkpoint.write_tensors)
    with joined_processes() as processes, stopping.heeded():
        if rank == 1:
            os.kill(os.getpid(), signal.SIGUSR1)
        try:
            timed(out, make_task(), processes=processes)
        except stopping.Stopped as stop:
            (out / f"{rank}.txt").write_text(f"{steps(out)}: {stop}")


def test_all_processes_stop_at_the_same_step_when_one_is_asked(tmp_path, fresh):
    """None leaves before that step is saved: torchrun and srun end the others when one has left."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    both = [fresh(target=asked, args=(rank, port, tmp_path)) for rank in (0, 1)]
    for process in both:
        process.start()
    for process in both:
        process.join(120)
    first, second = ((tmp_path / f"{rank}.txt").read_text() for rank in (0, 1))
    assert first.startswith("[1]: another process was asked to stop; test is saved at step 1;")
    assert second.startswith("[1]: got SIGUSR1; test is saved at step 1;") and steps(tmp_path) == [1]
    _, resumed = timed(tmp_path, make_task())  # by one process, which the sums of both then belong to
    _, whole = timed(tmp_path / "whole", make_task())
    for row, other in zip(without_times(resumed), without_times(whole)):
        assert row == pytest.approx(other, rel=1e-4)


class Stuck(Numbers):
    def __getitems__(self, keys):
        if len(self.seen) > 20:
            time.sleep(60)
        return super().__getitems__(keys)


def stuck(out):
    os.environ["SIMMIM_STUCK_MINUTES"] = "0.02"
    sys.stderr = (out / "stderr").open("w")
    timed(out, dataset=Stuck())


def test_a_training_that_hangs_says_where_and_ends(tmp_path, fresh):
    began, process = time.monotonic(), fresh(target=stuck, args=(tmp_path,))
    process.start()
    process.join(40)
    assert process.exitcode == stopping.EXIT_RUN_AGAIN and time.monotonic() - began < 40
    said = (tmp_path / "stderr").read_text()
    assert "simmim: stopped: test: no step for 0.02 minutes" in said and "__getitems__" in said


def test_a_watchdog_that_hears_of_steps_lets_them_go_on():
    with Watchdog("test", minutes=0.01) as watchdog:
        for _ in range(10):
            time.sleep(0.1)
            watchdog.heard()
