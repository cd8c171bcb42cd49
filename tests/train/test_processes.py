"""Number formats that do not depend on where the tests run, and draws that need no saved state."""

import json
import multiprocessing
import os
import random
import socket
import time
from datetime import timedelta

import numpy as np
import pytest
import torch
import torch.distributed as dist

from simmim.stopping import Stopped
from simmim.train.processes import (
    Processes,
    autocast_dtype,
    joined_processes,
    my_share,
    peak_bytes,
    seed_libraries,
    stopping_together,
)

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("precision", "avx512", "amx", "expected"),
    [
        ("auto", False, False, None),
        ("auto", True, False, torch.bfloat16),
        ("auto", False, True, torch.bfloat16),
        ("fp32", True, True, None),
        ("bf16", False, False, torch.bfloat16),
    ],
)
def test_auto_takes_what_the_cpu_has(monkeypatch, precision, avx512, amx, expected):
    monkeypatch.setattr("torch.cpu._is_avx512_bf16_supported", lambda: avx512)
    monkeypatch.setattr("torch.cpu._is_amx_tile_supported", lambda: amx)
    assert autocast_dtype(precision, CPU) is expected


def test_an_unknown_precision_is_refused():
    with pytest.raises(ValueError, match=r"train\.precision 'fp16' must be auto, bf16 or fp32"):
        autocast_dtype("fp16", CPU)


def drawn(seed, step, rank):
    seed_libraries(seed, step, rank)
    return random.random(), np.random.rand(), torch.rand(()).item()


def test_every_step_process_and_seed_has_draws_of_its_own_in_every_library():
    keys = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]
    for draws in zip(*(drawn(*key) for key in keys)):
        assert len(set(draws)) == len(keys)
    assert drawn(0, 1, 0) == drawn(0, 1, 0)


def test_work_that_is_asked_for_in_python_leaves_the_generators_as_they_were():
    def drawn():
        return random.random(), np.random.rand(), torch.rand(1).item()

    seed_libraries(1, 0, 0)
    expected = drawn()
    seed_libraries(1, 0, 0)
    with joined_processes():
        seed_libraries(2, 0, 0)
        drawn()
    assert drawn() == expected


def test_the_first_process_is_the_main_one():
    assert [Processes(rank, 2, CPU).is_main_process for rank in (0, 1)] == [True, False]


def test_alone_a_process_has_all_samples():
    assert list(my_share(3)) == [0, 1, 2]


def _joined(rank, port, second, first):
    """What one of two processes does."""
    place = {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.environ.update(place, SIMMIM_DEVICE="cpu")
    dist.destroy_process_group = lambda: time.sleep(600)  # as NCCL's waits for what others never do
    with joined_processes():
        (second if rank else first)()


def two_processes(second, first=lambda: dist.barrier()):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    fork = multiprocessing.get_context("fork")
    both = [fork.Process(target=_joined, args=(rank, port, second, first), daemon=True) for rank in (0, 1)]
    for process in both:
        process.start()
    return both


def _fails():
    raise ValueError("only here")


def test_an_error_in_one_process_ends_both():
    for process in two_processes(_fails):
        process.join(60)
        assert process.exitcode == 1


def test_nobody_waits_for_ever(monkeypatch):
    monkeypatch.setattr("simmim.train.processes.LONGEST_WAIT", timedelta(seconds=4))
    waiting, stuck = two_processes(lambda: time.sleep(120))
    waiting.join(60)
    assert waiting.exitcode == 1 and stuck.is_alive()
    stuck.kill()


def _is_asked_to_stop():
    raise Stopped("asked to")


@pytest.mark.parametrize(("second_does", "ends"), [(_is_asked_to_stop, [75, 75]), (lambda: os._exit(9), [1, 9])])
def test_processes_stop_together_and_no_death_is_a_stop(second_does, ends):
    def leave():
        try:
            with stopping_together():
                if dist.get_rank():
                    second_does()
        except Stopped:
            os._exit(75)

    both = two_processes(leave, first=leave)
    for process in both:
        process.join(60)
    assert [process.exitcode for process in both] == ends


def test_what_the_main_process_finds_holds_for_all(together):
    assert [each["told"] for each in json.loads((together / "begun.json").read_text())] == [0, 0]


def test_the_most_memory_held_is_that_of_all_processes_of_a_training():
    cpu = torch.device("cpu")
    assert 0 < peak_bytes(cpu, [{"from_step": 0}]) < 2**50
    assert peak_bytes(cpu, [{"peak_bytes": 2**50}, {"peak_bytes": 1}]) == 2**50
