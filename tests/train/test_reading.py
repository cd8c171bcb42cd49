"""Batches that are read ahead are those that were asked for, in their order."""

import os

import pytest
import torch
from torch.utils.data import Dataset

from simmim import stopping
from simmim.train import reading

CPU = torch.device("cpu")


class Squares(Dataset):
    """The square of every key, and the process that worked it out."""

    def __getitems__(self, keys):
        return {"squares": torch.tensor([key**2 for key in keys]), "process": os.getpid()}


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_come_in_order_from_as_many_workers(workers):
    shares = [range(0, 6, 2), range(6, 9), range(9, 10)]
    batches = list(reading.loader(Squares(), shares, workers, CPU))
    assert [batch["squares"].tolist() for batch in batches] == [[0, 4, 16], [36, 49, 64], [81]]
    assert len({batch["process"] for batch in batches} - {os.getpid()}) == workers


@pytest.mark.parametrize("workers", [0, 1])
def test_a_batch_that_was_looked_at_is_still_to_come_and_its_wait_does_not_count(workers):
    batches = reading.Waited(reading.loader(Squares(), [range(1), range(1, 2), range(2, 3)], workers, CPU))
    first = batches.peek(2)
    assert [batch["squares"].tolist() for batch in first] == [[0], [1]] and batches.seconds == 0
    assert [batch["squares"].tolist() for batch in batches] == [[0], [1], [4]] and batches.seconds > 0


class Signalled(Squares):
    """What asks a job to stop reaches its workers too."""

    def __getitems__(self, keys):
        for number in stopping.SIGNALS:
            os.kill(os.getpid(), number)
        return super().__getitems__(keys)


def test_workers_work_on_while_their_job_is_asked_to_stop():
    (batch,) = reading.loader(Signalled(), [range(3)], 1, CPU)
    assert batch["squares"].tolist() == [0, 1, 4] and batch["process"] != os.getpid()


@pytest.mark.parametrize(
    ("cores", "processes", "spare"), [(12, "1", 8), (6, "1", 5), (16, "8", 1), (8, "8", 0), (4, "8", 0)]
)
def test_cores_that_a_job_was_given_are_shared_and_one_computes(cores, processes, spare, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: range(cores), raising=False)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", processes)
    assert reading.spare_cores() == spare


def test_without_a_gpu_no_core_is_taken_from_the_computation(monkeypatch):
    monkeypatch.setattr(reading, "spare_cores", lambda: 1)
    assert reading.read_ahead(Squares(), [[1]], CPU).num_workers == 0
    assert reading.read_ahead(Squares(), [[1]], torch.device("cuda")).num_workers == 1
