"""A training that is killed, broken and stopped is started again each time, and ends with the same bits.

Here without Slurm; `benchmarks/under_fire.py` does it with one.
"""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from safetensors.torch import load_file
from test_loop import assert_equal

FAULTS = signal.SIGKILL, signal.SIGSEGV, signal.SIGSTOP


class Forked:
    """A process with what the supervisor needs of `subprocess.Popen`; forked, it has imported everything."""

    def __init__(self, work, env, preexec_fn, **_):
        self.returncode = None
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.environ.update(env)
                preexec_fn()
                work()
                os._exit(0)
            finally:
                os._exit(1)

    def poll(self):
        if self.returncode is None:
            process, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if process else None
        return self.returncode

    def wait(self, seconds=30):
        end = time.monotonic() + seconds
        while self.poll() is None:
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired("work", seconds)
            time.sleep(0.01)
        return self.returncode

    def kill(self):
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)


def supervise(out):
    import killed_run

    from simmim import said
    from simmim.cluster import again, attempt
    from simmim.storage.lease import lease

    class Work(tuple):  # a command without words that runs in this process's fork
        def __call__(self):
            do_work()

    def do_work():
        if said.waits():
            said.wait_for_turn()
        with said.alive(), lease(out / "state"):
            killed_run.run(out, multiprocessing.get_context("fork").Event(), pause=0.02)

    os.chdir(out)
    os.environ["SIMMIM_STUCK_MINUTES"] = "0.03"
    attempt.subprocess = SimpleNamespace(Popen=Forked, TimeoutExpired=subprocess.TimeoutExpired)
    sys.stdout = open("log", "w")  # noqa: SIM115 - until the process ends
    sys.exit(again.Supervisor(Work()).run())


@pytest.fixture
def fresh(monkeypatch):
    """Makes processes that are forked from one which has imported everything."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), *sys.path]))
    import killed_run

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["killed_run", "torch._dynamo", "torch.distributed.checkpoint.state_dict"])
    whole = partial(context.Process, target=killed_run.run, kwargs={"started": context.Event(), "pause": 0})
    return SimpleNamespace(whole=whole, supervised=partial(context.Process, target=supervise))


def steps(folder):
    return max((int(path.name.removeprefix("step-")) for path in folder.glob("state/step-*")), default=0)


def fire(fault, supervisor, folder, done):
    """Let a fault happen once something new is saved, and return when the supervisor has answered it."""
    before, end = steps(folder), time.monotonic() + 30
    while steps(folder) <= before:
        assert supervisor.is_alive() and time.monotonic() < end, (folder / "log").read_text()
        time.sleep(0.01)
    lease = json.loads((folder / ".state.lease").read_text())
    os.kill(lease["pid"], fault)
    while (folder / "log").read_text().count("started again") <= done:
        assert supervisor.is_alive() and time.monotonic() < end
        time.sleep(0.01)


def test_a_training_under_fire_ends_with_the_same_bits(tmp_path, fresh):
    (tmp_path / "fire").mkdir()
    undisturbed, supervisor = fresh.whole(args=(tmp_path / "whole",)), fresh.supervised(args=(tmp_path / "fire",))
    undisturbed.start()
    supervisor.start()
    for done, fault in enumerate(FAULTS):
        fire(fault, supervisor, tmp_path / "fire", done)
    for process in (supervisor, undisturbed):
        process.join(30)
        assert process.exitcode == 0
    said = (tmp_path / "fire" / "log").read_text()
    assert "no sign of life" in said and "died of SIGSEGV; started again, for the 2nd time" in said
    assert_equal(*(load_file(tmp_path / each / "final.safetensors") for each in ("fire", "whole")))
    fire_history, history = (json.loads((tmp_path / each / "history.json").read_text()) for each in ("fire", "whole"))
    assert fire_history == history and len(history) == 20
