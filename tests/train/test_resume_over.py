"""A training goes on with other processes, workers and micro-batches than it began with; nothing else changes."""

import json
import multiprocessing
import os
import signal
import socket

import pytest
import torch
from tasks import Numbers, make_task
from test_loop import timed, without_times

from simmim import stopping
from simmim.train.processes import joined_processes

BEGUN_AT = 7  # of 15 steps, between two rows of the log


class StopsAt(Numbers):
    """Asks its job to stop once the samples of a step are read."""

    def __init__(self, sample_count):
        super().__init__()
        self._until = sample_count

    def __getitems__(self, keys):
        if self._until and len(self.seen) + len(keys) >= self._until:
            os.kill(os.getppid() if torch.utils.data.get_worker_info() else os.getpid(), signal.SIGUSR1)
        return super().__getitems__(keys)


def one_of(rank, ranks, port, folder, workers, micro_batch, stops):
    place = {"RANK": str(rank), "WORLD_SIZE": str(ranks), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.environ.update(place, SIMMIM_DEVICE="cpu")
    torch.set_num_threads(1)
    multiprocessing.set_start_method("fork", force=True)  # of workers, as where a command starts them
    data = StopsAt(12 * BEGUN_AT // ranks if stops else 0)
    with joined_processes() as processes, stopping.heeded():
        try:
            settings = {"batch": 12, "workers": workers, "micro_batch": micro_batch, "epochs": 4.5}
            _, history = timed(folder, make_task(), data, processes=processes, **settings)
        except stopping.Stopped:
            return
    if rank == 0:
        (folder / "history.json").write_text(json.dumps(without_times(history)))


def trained(start, folder, ranks, workers=0, micro_batch=12, stops=False):
    """A part of the training, up to a stop or the end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    rest = ranks, port, folder, workers, micro_batch, stops
    every = [start(target=one_of, args=(rank, *rest)) for rank in range(ranks)]
    for process in every:
        process.start()
    for process in every:
        process.join(120)
        assert process.exitcode == 0


@pytest.fixture(scope="module")
def whole(tmp_path_factory, fresh):
    folder = tmp_path_factory.mktemp("whole")
    trained(fresh, folder, 1)
    return json.loads((folder / "history.json").read_text())


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param((1, 0, 12), (2, 0, 12), marks=pytest.mark.slow),
        ((1, 0, 12), (3, 0, 2)),
        pytest.param((2, 0, 3), (1, 2, 12), marks=pytest.mark.slow),
        pytest.param((2, 2, 12), (3, 0, 12), marks=pytest.mark.slow),
        ((3, 0, 12), (2, 2, 3)),
        pytest.param((3, 2, 4), (1, 0, 4), marks=pytest.mark.slow),
    ],
)
def test_other_processes_workers_and_micro_batches_go_on_with_the_same_losses(tmp_path, fresh, whole, before, after):
    trained(fresh, tmp_path, *before, stops=True)
    saved = max(path.name for path in tmp_path.glob("step-*"))
    assert 1 <= int(saved.removeprefix("step-")) < 15 and not (tmp_path / "history.json").exists()
    trained(fresh, tmp_path, *after)
    history = json.loads((tmp_path / "history.json").read_text())
    assert [row["step"] for row in history] == [row["step"] for row in whole]
    for row, expected in zip(history, whole):
        assert row == pytest.approx(expected, rel=2e-4)
