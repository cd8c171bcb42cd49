"""One start of two processes for all tests of this folder."""

import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def together(tmp_path_factory) -> Path:
    """Folder of what `two_processes.py` did."""
    out = tmp_path_factory.mktemp("two_processes")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    script = Path(__file__).with_name("two_processes.py")
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}  # what pytest sees
    done = subprocess.run(
        [*command, script, out], timeout=240, capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert "Warning: " not in done.stderr, done.stderr  # a user of several GPUs sees none either
    return out


@pytest.fixture(scope="session")
def fresh():
    """Starts processes that are forked from one which has imported torch and run nothing."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch"])
    return context.Process
