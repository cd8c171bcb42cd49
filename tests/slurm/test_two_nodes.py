"""One pre-training on two nodes with two processes each is that of one process."""

import pytest
from projects import ended, local, smoke, start

from simmim.storage import records

pytestmark = [pytest.mark.slow, pytest.mark.punish]
TARGET = "results/smoke/pretrain/default/seed0/train.parquet"
TWO_NODES = {"mpi": "srun", "nodes": 2, "tasks_per_node": 2, "gpu": 4, "gres": "gpu:2", "cpus_per_task": 1}
ASKED = {"slurm_partition": "gpu", "mem_mb": 4000, "runtime": 10}


@pytest.mark.timeout(600)
def test_two_nodes_train_as_one_process_does(slurm, tmp_path):
    folder = smoke(tmp_path, precision="fp32", pretrain=ASKED | TWO_NODES)
    local(folder, TARGET)
    alone = records.read([folder / TARGET])
    snakemake = start(folder, slurm.environment, "--forcerun", TARGET, "--", TARGET)
    assert ended(snakemake, 240) == 0, (folder / "out.log").read_text()[-4000:]
    together = records.read([folder / TARGET])
    assert records.metadata(folder / TARGET)["environment"]["processes"] == 4
    losses = [frame[frame["metric"] == "loss"]["value"].tolist() for frame in (alone, together)]
    assert len(losses[0]) >= 2 and losses[1] == pytest.approx(losses[0], rel=1e-4)
