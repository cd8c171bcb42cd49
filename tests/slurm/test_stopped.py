"""A training that needs several tries of two minutes ends without one of Snakemake's retries."""

import pytest
from projects import ended, smoke, start

from simmim.storage import records

pytestmark = [pytest.mark.slow, pytest.mark.punish]
TARGET = "results/smoke/pretrain/default/seed0/train.parquet"


@pytest.mark.timeout(1200)
def test_a_training_that_its_time_limit_stops_goes_on_under_the_same_number(slurm, tmp_path):
    folder = smoke(tmp_path, pretrain={"slurm_partition": "cpu", "mem_mb": 4000, "runtime": 2})
    scale = folder / "config" / "scales" / "smoke.yaml"
    text = scale.read_text()
    longer = text.replace("epochs: 2, warmup_epochs: 1, batch: 16", "epochs: 1600, warmup_epochs: 1, batch: 16", 1)
    assert longer != text
    scale.write_text(longer)
    snakemake = start(folder, slurm.environment, "--retries", "0", "--", TARGET)
    assert ended(snakemake, 1100) == 0, (folder / "out.log").read_text()[-4000:]
    tries = sorted((folder / "logs/smoke/pretrain/attempts").glob("default_seed0.*.log"))
    said = [file.read_text() for file in tries]
    assert len(said) >= 2 and len({file.name.rsplit(".", 2)[1] for file in tries}) == 1  # one number
    assert all("the time given ends; smoke/default seed 0 is saved at step" in each for each in said[:-1])
    assert all("going on from step" in each for each in said[1:])
    losses = records.read([folder / TARGET]).query("metric == 'loss'")["step"].tolist()
    assert losses == list(range(2, 6401, 2))
