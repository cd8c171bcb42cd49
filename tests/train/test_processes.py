"""Number formats that do not depend on where the tests run, and draws that need no saved state."""

import random

import numpy as np
import pytest
import torch

from simmim.train.processes import Processes, autocast_dtype, my_share, seed_libraries

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


def test_the_first_process_is_the_main_one():
    assert [Processes(rank, 2, CPU).is_main_process for rank in (0, 1)] == [True, False]


def test_alone_a_process_has_all_samples():
    assert list(my_share(3)) == [0, 1, 2]
