"""One worker per folder, also after kill -9 and across hosts."""

import json
import multiprocessing
import os
import time

import pytest

from simmim.stopping import Stopped
from simmim.storage.lease import lease

SPAWN = multiprocessing.get_context("spawn")


def hold(folder, began, seconds):
    with lease(folder):
        began.set()
        time.sleep(seconds)


def holder(folder, seconds=60):
    began = SPAWN.Event()
    process = SPAWN.Process(target=hold, args=(folder, began, seconds))
    process.start()
    assert began.wait(30)
    return process


def test_the_second_is_told_who_works_there(tmp_path):
    process = holder(tmp_path / "state")
    with pytest.raises(Stopped, match=rf"state is in use by process {process.pid} on \S+; wait for it, or end it"):  # noqa: SIM117
        with lease(tmp_path / "state", patience=0.2):
            pass
    process.kill()
    process.join(30)
    with lease(tmp_path / "state", patience=0.2):  # the system has freed the lock
        assert json.loads((tmp_path / ".state.lease").read_text())["pid"] == os.getpid()
    assert not list(tmp_path.iterdir())


def test_the_second_waits_for_one_that_ends(tmp_path):
    process = holder(tmp_path / "state", seconds=0.5)
    with lease(tmp_path / "state", patience=20):
        process.join(30)
    assert process.exitcode == 0


@pytest.mark.parametrize(("age", "taken"), [(0, False), (120, True)])
def test_a_holder_on_another_host_counts_while_its_heart_beats(tmp_path, age, taken):
    """Locks are not seen everywhere; the file's time is."""
    path = tmp_path / ".state.lease"
    path.write_text(json.dumps({"host": "elsewhere", "pid": 7, "job": "42"}))
    os.utime(path, (time.time() - age,) * 2)
    if taken:
        with lease(tmp_path / "state", patience=0.2):
            return
    with pytest.raises(Stopped, match=r"process 7 on elsewhere \(Slurm job 42\)"):  # noqa: SIM117
        with lease(tmp_path / "state", patience=0.2):
            pass


def test_the_heart_beats(tmp_path, monkeypatch):
    monkeypatch.setattr("simmim.storage.lease.BEAT", 0.05)
    with lease(tmp_path / "state"):
        os.utime(tmp_path / ".state.lease", (1, 1))
        time.sleep(0.3)
        assert time.time() - (tmp_path / ".state.lease").stat().st_mtime < 30
