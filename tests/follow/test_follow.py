"""Snakemake as it is followed: lines of what runs, no silence, errors in full, exit codes and Ctrl-C passed through."""

from __future__ import annotations

import io
import itertools
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from simmim.follow.handler import LogHandler

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "simmim.follow", "--cores", "2", "--keep-going"]
LINE = "toy/head_mlp/finetune seed 2 1/3 epoch 0.1 loss 0.5 lr 1.0e-04 35 img/s ETA 0:09 data 3%"
SNAKEFILE = """
rule all:
    input: "good.txt", "bad.txt"

rule good:
    output: "good.txt"
    log: "logs/good.log"
    shell: "echo '{line}' > {{log}}; sleep {seconds}; touch {{output}}"

rule bad:
    output: "bad.txt"
    log: "logs/bad.log"
    shell: "echo 'simmim: error: no folder phtos; did you mean photos' > {{log}}; exit 3"
"""


@pytest.fixture
def project(tmp_path):
    def made(seconds: float) -> dict:
        (tmp_path / "Snakefile").write_text(SNAKEFILE.format(line=LINE, seconds=seconds))
        return {"cwd": tmp_path, "env": os.environ | {"PYTHONPATH": str(ROOT), "HOME": str(tmp_path), "COLUMNS": "80"}}

    return made


@pytest.mark.timeout(90)
def test_plain_lines_are_never_silent_and_an_error_stands_in_full(project):
    said: list[tuple[float, str]] = [(time.monotonic(), "")]
    with subprocess.Popen(COMMAND, stderr=subprocess.PIPE, text=True, **project(11)) as process:
        said += [(time.monotonic(), line) for line in process.stderr]
    assert process.returncode == 1
    assert max(later - before for (before, _), (later, _) in itertools.pairwise(said)) < 15
    text = "".join(line for _, line in said)
    assert (
        "FAILED bad; the end of its log logs/bad.log:\n    simmim: error: no folder phtos; did you mean photos\n"
        in text
    )
    assert "    head_mlp/finetune seed 2: epoch 0.1 loss 0.5 lr 1.0e-04 35 img/s ETA 0:09 data 3% (0:" in text
    assert "1/3 good (0:1" in text and "1 of 3 jobs done, 1 failed (bad)" in text.splitlines()[-1]
    assert "input:" not in text and "\x1b" not in text and len(said) < 25


@pytest.mark.timeout(60)
@pytest.mark.parametrize("interrupted", [False, True])
def test_a_terminal_is_renewed_in_place_and_control_c_ends_everything(project, interrupted):
    screen, terminal = pty.openpty()
    settings = project(60 if interrupted else 2.5)
    settings["env"] |= {"TERM": "xterm-256color"}
    process = subprocess.Popen(COMMAND, stderr=terminal, start_new_session=True, **settings)
    os.close(terminal)
    text = ""
    while part := _read(screen):
        text += part
        if interrupted and "epoch 0.1" in text:
            os.killpg(process.pid, signal.SIGINT)
            interrupted = False
    assert process.wait() == 1
    assert "\r\n  head_mlp/finetune seed 2\r\n      epoch 0.1" in re.sub(" +\r", "\r", text) and "\x1b[2K" in text
    assert "jobs done, " in text.splitlines()[-1] and "failed (" in text.splitlines()[-1]


class _Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("stream", "variable", "value"), [(_Terminal, "TERM", "dumb"), (io.StringIO, "FORCE_COLOR", "1")]
)
def test_plain_lines_wherever_a_line_cannot_be_renewed(monkeypatch, stream, variable, value):
    monkeypatch.setenv(variable, value)
    monkeypatch.setattr("simmim.follow.handler.EVERY_SECONDS", 0.01)
    monkeypatch.setattr("sys.stderr", stream())
    handler, until = LogHandler(SimpleNamespace(dryrun=False), None), time.monotonic() + 3
    while not (said := sys.stderr.getvalue()) and time.monotonic() < until:
        time.sleep(0.01)
    handler.close()
    assert "finding out what is to be done\n" in said and "\x1b" not in said


def _read(screen: int) -> str:
    try:
        return os.read(screen, 65536).decode()
    except OSError:  # nobody writes any more
        return ""


def test_a_dry_run_is_printed_by_snakemake_itself(project):
    done = subprocess.run([*COMMAND, "--dry-run", "--", "good.txt"], capture_output=True, text=True, **project(1))
    assert done.returncode == 0 and "rule good:" in done.stderr and "output: good.txt" in done.stderr


def test_what_was_finished_before_is_said(project):
    settings = project(0)
    for name in ("good.txt", "bad.txt"):
        (settings["cwd"] / name).touch()
    done = subprocess.run([*COMMAND, "--rerun-triggers", "mtime"], capture_output=True, text=True, **settings)
    assert (done.returncode, done.stderr.strip()) == (
        0,
        "Nothing to be done (all requested files are present and up to date).",
    )
