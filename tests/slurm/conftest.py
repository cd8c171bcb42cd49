"""The fixture that starts and stops a throw-away Slurm, and skips with the reason where there can be none."""

import os
import tempfile
from pathlib import Path

import pytest
from toy import Toy, missing


@pytest.fixture(scope="module")
def slurm():
    """A Slurm of two nodes; a short path, since sockets have one of at most 107 characters."""
    if reason := missing(may_install=bool(os.environ.get("SIMMIM_INSTALL_SLURM"))):
        pytest.skip(f"no throw-away Slurm: {reason}")
    with tempfile.TemporaryDirectory(prefix="toy-slurm-") as folder, Toy(Path(folder)) as toy:
        yield toy
