"""The log of an attempt is kept when Snakemake deletes it before the next one."""

import os
import subprocess
import sys
from pathlib import Path

from simmim.cluster.logged import run as logged_here

ROOT = Path(__file__).parents[2]
LOGGED = [sys.executable, "-m", "simmim.cluster.logged"]


def logged(log, command, **environment):
    return subprocess.run([*LOGGED, log, "bash", "-c", command], cwd=ROOT, env={"PATH": "/usr/bin:/bin"} | environment)


def test_every_attempt_keeps_its_log(tmp_path):
    log = tmp_path / "pretrain" / "default_seed0.log"
    assert logged(log, "echo out; echo error >&2; exit 3", SLURM_JOB_ID="17").returncode == 3
    assert log.read_text() == "out\nerror\n"
    log.unlink()  # as Snakemake does
    assert logged(log, "echo again", SLURM_JOB_ID="18").returncode == 0
    first, second = sorted((tmp_path / "pretrain" / "attempts").iterdir(), key=lambda file: file.name[-6:])
    assert first.name.startswith("default_seed0.20") and first.name.endswith(".17.log")
    assert (first.read_text(), second.read_text()) == ("out\nerror\n", "again\n")


def test_the_command_takes_the_place_of_the_script_so_that_signals_reach_it(tmp_path):
    log = tmp_path / "job.log"
    with subprocess.Popen([*LOGGED, log, "sleep", "60"], cwd=ROOT) as job:
        while not log.exists() or b"sleep" not in Path(f"/proc/{job.pid}/cmdline").read_bytes().split(b"\0")[:1]:
            assert job.poll() is None
        job.terminate()
        assert job.wait(10) == -15


def test_an_attempt_keeps_its_log_where_the_file_system_has_no_hard_links(tmp_path, monkeypatch):
    def refuse(source, target):
        raise PermissionError(1, "Operation not permitted", str(source))

    log = tmp_path / "pretrain" / "default_seed0.log"
    with monkeypatch.context() as patched:
        patched.setattr("os.link", refuse)
        patched.setattr("os.dup2", lambda opened, stream: os.write(opened, b"out\n"))
        patched.setattr("os.execvp", lambda *command: None)
        for _ in range(2):  # the second takes the place of what the first has left
            logged_here(log, ["true"])
    assert log.read_text() == "out\nout\n"
    log.unlink()
    assert {kept.read_text() for kept in (tmp_path / "pretrain" / "attempts").iterdir()} == {"out\nout\n"}
