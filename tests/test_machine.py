"""Freed memory is kept for the next step, unless the user has said otherwise."""

import subprocess
import sys
from types import SimpleNamespace

import pytest

from simmim import machine

FAULTS = """
import resource, sys
import numpy as np
from simmim.machine import keep_freed_memory
if sys.argv[1:]:
    keep_freed_memory()
def step():
    return sum(np.ones(2**20) for _ in range(4))  # blocks of 8 MB
step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts the page faults of glibc's heap")
def test_the_next_step_gets_the_memory_of_the_last_one():
    given_back, kept = (
        int(subprocess.run([sys.executable, "-c", FAULTS, *words], capture_output=True, check=True, text=True).stdout)
        for words in ([], ["keep"])
    )
    assert kept < given_back / 20


@pytest.mark.parametrize("own", [{}, {"MALLOC_MMAP_MAX_": "65536"}])
def test_what_the_user_has_set_stays(monkeypatch, own):
    for variable in machine._HEAP:
        monkeypatch.delenv(variable, raising=False)
    for variable, value in own.items():
        monkeypatch.setenv(variable, value)
    made = []
    monkeypatch.setattr(machine.ctypes, "CDLL", lambda _: SimpleNamespace(mallopt=lambda *call: made.append(call)))
    machine.keep_freed_memory()
    assert len(made) == 3 - len(own) and ((-4, 0) in made) == (not own)


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(machine.ctypes, "CDLL", lambda _: SimpleNamespace())
    machine.keep_freed_memory()
