"""What Slurm would refuse, or let wait for ever, is refused before the first submission."""

import pytest
from projects import ROOT, ended, smoke, start

from simmim.cluster import checks
from simmim.cluster.asked import Asked

ONE_NODE = {"slurm_partition": "gpu", "mem_mb": 400, "runtime": 10, "cpus_per_task": 2, "nodes": 1, "gpu": 2}
TWO_NODES = ONE_NODE | {"nodes": 2, "gpu": 4, "mpi": "srun", "tasks_per_node": 2, "gres": "gpu:2"}


@pytest.fixture
def faults(slurm, monkeypatch):
    """What is wrong with what a rule asks for."""
    monkeypatch.setenv("SLURM_CONF", slurm.environment["SLURM_CONF"])
    return lambda resources: checks.faults([Asked(["pretrain"], resources)])


def test_what_the_cluster_has_is_taken(faults):
    assert faults(ONE_NODE) == faults(TWO_NODES) == faults(ONE_NODE | {"gpu": 0, "slurm_partition": "cpu"}) == []
    assert faults(ONE_NODE | {"slurm_partition": None}) == []  # the default one


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"gpu": 8}, "pretrain: 8 GPUs are asked of a node, and the nodes of partition 'gpu' have 2"),
        ({"gpu": 8, "slurm_partition": ""}, "the nodes of the default partition have 2"),
        ({"nodes": None}, "gpu is 2 and nodes is not set"),
        ({"nodes": 2, "gpu": 3}, "not the same number on each of 2 nodes"),
        ({"nodes": 2}, "needs mpi: srun"),
        ({"mem_mb": 10**6}, "Slurm refuses a job of pretrain"),
        ({"gpu": 0, "slurm_partition": "gqu"}, "Slurm refuses a job of pretrain: invalid partition"),
        ({"runtime": 10**5}, "runtime is 100000 minutes, and partition 'gpu' gives 1440"),
    ],
)
def test_what_it_has_not_is_named(faults, change, words):
    (fault,) = faults(ONE_NODE | change)
    assert words in fault


@pytest.mark.slow
@pytest.mark.punish
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("resources", "words", "given"),
    [
        ({}, "slurm_partition still say CHANGE_ME: name those of your cluster in slurm/profile.yaml", ()),
        ({"pretrain": ONE_NODE | {"gpu": 8}}, "8 GPUs are asked of a node", ()),
        ({"pretrian": ONE_NODE}, "unknown rule under set-resources 'pretrian'; did you mean 'pretrain'?", ()),
        ({"evaluate": ONE_NODE}, "pretrain: no gpu is set under set-resources, where evaluate has one", ()),
        ({"pretrain": ONE_NODE | {"gpus": 2}}, "pretrain: nothing reads the resource 'gpus'; did you mean 'gpu'?", ()),
        ({"pretrain": ONE_NODE}, "Slurm refuses a job of", ("--slurm-reservation=none",)),
    ],
)
def test_nothing_is_submitted(slurm, tmp_path, resources, words, given):
    folder = smoke(tmp_path, **resources)
    if not resources:  # as it is delivered
        (folder / "slurm" / "profile.yaml").write_text(
            (ROOT / "workflow" / "profiles" / "slurm" / "profile.yaml").read_text()
        )
    snakemake = start(folder, slurm.environment, *given, "results/smoke/pretrain/default/seed0/train.parquet")
    assert ended(snakemake, 120) == 1
    said = (folder / "out.log").read_text()
    assert words in said and "nothing was submitted" in said and "Traceback" not in said
    assert "has been submitted" not in said and not slurm.ask("squeue", "--noheader").stdout
