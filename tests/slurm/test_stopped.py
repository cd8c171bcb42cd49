"""A training that dies, or is told to stop before a time limit or a preemption, uses up none of Snakemake's retries."""

import json
import os
import re
import signal
import time

import pytest
from projects import ended, smoke, start

from simmim.storage import records

pytestmark = [pytest.mark.slow, pytest.mark.punish]
TARGET = "results/smoke/pretrain/default/seed0/train.parquet"


def attempts(folder):
    return sorted((folder / "logs/smoke/pretrain/attempts").glob("default_seed0.*.log"))


def said(snakemake, folder, *words):
    """Return when the log of the first attempt holds these words."""
    while not (logs := attempts(folder)) or not all(each in logs[0].read_text() for each in words):
        assert snakemake.poll() is None, (folder / "out.log").read_text()[-4000:]
        time.sleep(0.2)


def lease(folder):
    return json.loads((folder / TARGET).with_name(".state.lease").read_text())


def started(slurm, tmp_path):
    """The folder of a pre-training of 400 steps, and Snakemake, which has no retries, once it has begun."""
    folder = smoke(tmp_path, pretrain={"slurm_partition": "cpu", "mem_mb": 4000, "runtime": 30})
    scale = folder / "config" / "scales" / "smoke.yaml"
    longer = scale.read_text().replace(
        "epochs: 2, warmup_epochs: 1, batch: 16", "epochs: 100, warmup_epochs: 1, batch: 16", 1
    )
    scale.write_text(longer)
    snakemake = start(folder, slurm.environment, "--retries", "0", "--", TARGET)
    said(snakemake, folder, " epoch ")
    return folder, snakemake


@pytest.mark.timeout(1200)
def test_a_training_that_dies_goes_on_in_its_job_and_one_that_is_told_to_stop_under_the_same_number(slurm, tmp_path):
    folder, snakemake = started(slurm, tmp_path)
    (number,) = re.findall(r"\.(\d+)\.log$", attempts(folder)[0].name)
    assert lease(folder)["job"] == number
    os.kill(lease(folder)["pid"], signal.SIGKILL)
    said(snakemake, folder, "died of SIGKILL; started again, for the 1st time", "going on from step")
    os.kill(lease(folder)["pid"], signal.SIGTERM)  # alone: `scancel` would end the Snakemake around it at once
    assert ended(snakemake, 1100) == 0, (folder / "out.log").read_text()[-4000:]
    first, *_, last = [file.read_text() for file in attempts(folder)]
    assert "got SIGTERM; smoke/default seed 0 is saved at step" in first and f"Slurm runs job {number} again" in first
    assert "going on from step" in last and {file.name.split(".")[-2] for file in attempts(folder)} == {number}
    losses = records.read([folder / TARGET]).query("metric == 'loss'")["step"].tolist()
    assert losses == list(range(2, 401, 2))


@pytest.mark.timeout(600)
def test_a_job_that_is_cancelled_stays_so(slurm, tmp_path):
    """Slurm would run it again where the training, told to stop, asked for that."""
    folder, snakemake = started(slurm, tmp_path)
    slurm.ask("scancel", lease(folder)["job"])
    assert ended(snakemake, 300) == 1, (folder / "out.log").read_text()[-4000:]
    (log,) = attempts(folder)
    assert "Slurm runs job" not in log.read_text() and not slurm.ask("squeue", "--noheader").stdout
