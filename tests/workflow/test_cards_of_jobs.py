"""What Snakemake gives jobs, cards and processes: local jobs one each, those of a cluster what its profile says."""

import subprocess

import pytest
from helpers.gpus import pretend_cards
from test_workflow import ROOT, copy_of_the_project

COMMAND = "python -m simmim.train.cards 1 python -m simmim.cluster.again python -m simmim pretrain"
ON_A_CLUSTER = (
    "python -m simmim.train.cards 8 python -m simmim.cluster.again "
    "torchrun --standalone --nproc-per-node=8 -m -- simmim pretrain"
)


@pytest.mark.slow
@pytest.mark.parametrize(("profile", "command", "processes"), [("local", COMMAND, 1), ("slurm", ON_A_CLUSTER, 8)])
def test_a_job_is_started_on_what_it_is_granted(tmp_path, profile, command, processes):
    project = copy_of_the_project(tmp_path / "project")
    environment = pretend_cards(tmp_path, "GPU-a", "GPU-b") | {"PYTHONPATH": str(project), "HOME": str(project)}
    target = "results/smoke/pretrain/default/seed0/train.parquet"
    words = ["snakemake", "--profile", f"{ROOT}/workflow/profiles/{profile}", "--nocolor", "-n", "-p", target]
    done = subprocess.run(words, cwd=project, env=environment, capture_output=True, text=True, timeout=120)
    said = done.stdout + done.stderr
    assert command in said, said[-3000:]
    assert f"--split train --processes {processes} --expect" in said, said[-3000:]
