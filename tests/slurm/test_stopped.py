"""A training that is told to stop, as before a time limit or a preemption, ends without one of Snakemake's retries."""

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


@pytest.mark.timeout(1200)
def test_a_training_that_is_told_to_stop_goes_on_under_the_same_number(slurm, tmp_path):
    folder = smoke(tmp_path, pretrain={"slurm_partition": "cpu", "mem_mb": 4000, "runtime": 30})
    scale = folder / "config" / "scales" / "smoke.yaml"
    longer = scale.read_text().replace(
        "epochs: 2, warmup_epochs: 1, batch: 16", "epochs: 100, warmup_epochs: 1, batch: 16", 1
    )
    scale.write_text(longer)
    snakemake = start(folder, slurm.environment, "--retries", "0", "--", TARGET)
    while not any(" epoch " in file.read_text() for file in attempts(folder)):
        assert snakemake.poll() is None, (folder / "out.log").read_text()[-4000:]
        time.sleep(0.2)
    (number,) = re.findall(r"\.(\d+)\.log$", attempts(folder)[0].name)
    lease = json.loads((folder / TARGET).with_name(".state.lease").read_text())
    assert lease["job"] == number
    os.kill(lease["pid"], signal.SIGTERM)  # alone: `scancel` would end the Snakemake around it at once
    assert ended(snakemake, 1100) == 0, (folder / "out.log").read_text()[-4000:]
    first, *_, last = [file.read_text() for file in attempts(folder)]
    assert "got SIGTERM; smoke/default seed 0 is saved at step" in first and f"Slurm runs job {number} again" in first
    assert "going on from step" in last and {file.name.split(".")[-2] for file in attempts(folder)} == {number}
    losses = records.read([folder / TARGET]).query("metric == 'loss'")["step"].tolist()
    assert losses == list(range(2, 401, 2))
