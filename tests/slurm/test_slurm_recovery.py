"""Snakemake is killed; one command finds its jobs, waits for them or ends them, and goes on."""

from __future__ import annotations

import subprocess
import sys

import pytest
from projects import smoke, start, submitted

pytestmark = [pytest.mark.slow, pytest.mark.punish]
TARGET = "results/smoke/source/card.json"


def recover(folder, slurm, *arguments):
    environment = slurm.environment | {"HOME": str(folder), "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "simmim", "recover", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


@pytest.mark.timeout(500)
@pytest.mark.parametrize(
    ("how", "program"), [((), "snakemake"), (("--cancel",), "snakemake"), (("--cancel",), "simmim.follow")]
)
def test_one_command_goes_on_after_a_kill(slurm, tmp_path, how, program):
    folder = smoke(tmp_path)
    target = next(iter(_card(folder)))
    snakemake = start(folder, slurm.environment, "--", target, program=program)
    submitted(snakemake, folder)
    running = recover(folder, slurm)
    assert running.returncode == 2 and f"still runs here, as process {snakemake.pid}" in running.stderr
    snakemake.kill()
    snakemake.wait()
    assert slurm.ask("squeue", "--noheader").stdout
    done = recover(folder, slurm, *how)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "rule_demo_data" in done.stdout and f"-m {program} --profile" in done.stdout
    assert ("cancelled" if how else "waited for") in done.stdout
    assert (folder / target).exists() and not slurm.ask("squeue", "--noheader", "--states=PD,R").stdout


def _card(folder):
    from simmim.config.sheets import Sheets
    from simmim.jobs import Jobs

    return Jobs(Sheets(folder / "config")).job("demo_data", scale="smoke").outputs.values()
