"""The device of the tests that are for a real card."""

import os
from collections.abc import Iterator

import pytest
import torch

from simmim.train import arithmetic
from simmim.train.processes import Processes


@pytest.fixture(scope="session")
def device() -> torch.device:
    """The first card; `SIMMIM_TEST_DEVICE=cpu` rehearses the same tests on the CPU."""
    wanted = os.environ.get("SIMMIM_TEST_DEVICE", "cuda")
    if wanted == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        pytest.skip("there is no card that torch can use (SIMMIM_TEST_DEVICE=cpu rehearses on the CPU)")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # for all: cuBLAS reads it once, before its first use
    torch.cuda.set_device(0)
    return torch.device("cuda", 0)


@pytest.fixture
def alone(device: torch.device) -> Iterator[Processes]:
    """One process on that device, with the arithmetic of every job."""
    with arithmetic.fixed():
        yield Processes(0, 1, device)
