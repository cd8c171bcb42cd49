"""One worker per folder, also after kill -9 and across hosts."""

import fcntl
import json
import multiprocessing
import os
import re
import time

import pytest

from simmim import stopping
from simmim.stopping import Stopped
from simmim.storage import lease as storage_lease
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


def test_a_lock_that_no_heart_beats_for_is_a_mistake_that_no_queue_mends(tmp_path):
    """As of a host that is gone, whose lock the file server keeps: the same command would wait once more, for ever."""
    path = tmp_path / ".state.lease"
    path.write_text(json.dumps({"host": "gone", "pid": 7, "job": ""}))
    os.utime(path, (1, 1))
    said = rf"state is locked by process 7 on gone, .* for \d+ minutes; end it, or remove {re.escape(str(path))}"
    with path.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(ValueError, match=said):  # noqa: SIM117
            with lease(tmp_path / "state", patience=0.2):
                pass
        path.unlink()
        with lease(tmp_path / "state", patience=0.2):
            pass


def test_who_lost_the_folder_leaves_it_to_its_successor(tmp_path):
    """One that stood still for so long that another host took over wakes up and ends."""
    with lease(tmp_path / "state"):
        other = json.dumps({"host": "elsewhere", "pid": 7, "job": ""})
        (tmp_path / ".state.lease").write_text(other)
    assert (tmp_path / ".state.lease").read_text() == other


def test_who_wakes_up_and_was_followed_is_asked_to_stop(tmp_path, monkeypatch):
    """A suspended job that goes on beside its successor would write the same files."""
    monkeypatch.setattr("simmim.storage.lease.BEAT", 0.05)
    with stopping.heeded(), lease(tmp_path / "state"):
        time.sleep(0.3)
        stopping.check("nothing")
        (tmp_path / ".state.lease").write_text(json.dumps({"host": "elsewhere", "pid": 7, "job": ""}))
        time.sleep(0.3)
        with pytest.raises(Stopped, match="process 7 on elsewhere took over while this process stood still; half is"):
            stopping.check("half is saved")


@pytest.fixture
def no_locks(monkeypatch):
    """As on a file system that is mounted without them."""

    def refused(*_):
        raise OSError("no locks available")

    monkeypatch.setattr(fcntl, "flock", refused)
    monkeypatch.setattr(storage_lease, "_SETTLED", 0.1)


def test_without_locks_the_heartbeat_counts_on_the_same_host_too(tmp_path, no_locks):
    with lease(tmp_path / "state"):
        with pytest.raises(Stopped, match=f"in use by process {os.getpid()}"):  # noqa: SIM117
            with lease(tmp_path / "state", patience=0.2):
                pass
        os.utime(tmp_path / ".state.lease", (1, 1))
        with lease(tmp_path / "state", patience=0.2):
            pass


@pytest.mark.parametrize("names", ["theirs", "theirs and ours", "ours and theirs"])
def test_of_two_that_begin_together_without_locks_one_holds_the_folder(tmp_path, monkeypatch, no_locks, names):
    """Both found no name in the file, and both write theirs."""
    real, theirs = storage_lease._sign, json.dumps({"host": "elsewhere", "pid": 7, "job": ""})

    def sign_together(path, file):
        real(path, file)
        path.write_text(names.replace("theirs", theirs).replace("ours", path.read_text()).replace(" and ", ""))

    monkeypatch.setattr(storage_lease, "_sign", sign_together)
    if names == "ours and theirs":
        with lease(tmp_path / "state", patience=0.2):
            return
    with pytest.raises(Stopped, match="in use by process 7 on elsewhere"):  # noqa: SIM117
        with lease(tmp_path / "state", patience=0.2):
            pass
    assert theirs in (tmp_path / ".state.lease").read_text()
