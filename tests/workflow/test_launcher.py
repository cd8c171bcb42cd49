"""What starts a job, in a workflow of one rule: the cards of the machine, what a job is granted, what it cannot be."""

import subprocess
from pathlib import Path

import pytest
from helpers.gpus import pretend_cards

from simmim.cluster import again

ROOT = Path(__file__).parents[2]
RULE = f"""
include: "{ROOT}/workflow/rules/launch.smk"
onsuccess: print("at a time:", workflow.global_resources["gpu"].value)
onerror: print("at a time:", workflow.global_resources["gpu"].value)
rule pretrain:
    resources: gpu=GPUS
    params: launch=launcher
    output: "made"
    shell: "{{params.launch}} pretrain"
"""
TWO_NODES = "gpu=4", "nodes=2", "mpi=srun", "tasks_per_node=2", "cpus_per_task=3"


def snakemake(folder, *words, resources=()):
    """What a dry run prints of the job with these resources, or what Snakemake says against it."""
    (folder / "Snakefile").write_text(RULE)
    given = ["--set-resources", *(f"pretrain:{each}" for each in resources)] if resources else []
    command = ["snakemake", "--cores=2", "--nocolor", *words, *given]
    environment = pretend_cards(folder, "GPU-a", "GPU-b") | {"HOME": str(folder)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr


@pytest.mark.parametrize(("words", "number"), [((), 2), (("--resources", "gpu=1"), 1)])
def test_as_many_jobs_at_a_time_as_there_are_cards_or_as_was_said(tmp_path, words, number):
    assert f"at a time: {number}" in (said := snakemake(tmp_path, *words)), said


def test_what_is_wrong_with_the_environment_is_said_before_any_job(tmp_path, monkeypatch):
    monkeypatch.setenv("SIMMIM_STUCK_MINUTES", "soon")
    said = snakemake(tmp_path, "-n")
    assert "SIMMIM_STUCK_MINUTES=soon must be a number of minutes" in said and "Traceback" not in said, said


def test_a_job_on_several_nodes_is_a_step_over_them(tmp_path):
    said = snakemake(tmp_path, "-n", "-p", "--resources", "gpu=4", resources=TWO_NODES)
    step = "srun --nodes=2 --ntasks=2 --ntasks-per-node=1 --gpus-per-node=2 --cpus-per-task=6"
    assert f"{step} --kill-on-bad-exit=1 python -m simmim.train.cards 2 torchrun --nnodes=2" in said, said
    assert again.Supervisor(step.split())._several_nodes()


@pytest.mark.parametrize(
    ("resources", "words"),
    [
        (("gpu=eight",), "a job: gpu is 'eight', which is no number; write one, such as gpu: 8"),
        (TWO_NODES[:2], "a job: nodes is 2, which needs mpi: srun and tasks_per_node: 2 and cpus_per_task: half of"),
        (TWO_NODES[:3] + TWO_NODES[4:], "a job: nodes is 2, which needs tasks_per_node: 2 (docs/slurm.md)"),
        (("gpu=3", *TWO_NODES[1:]), "a job: gpu is 3, which is not the same number on each of 2 nodes"),
    ],
)
def test_what_no_command_can_start_is_a_sentence(tmp_path, resources, words):
    said = snakemake(tmp_path, "-n", "--executor=slurm", "--jobs=1", resources=resources)
    assert f"simmim: error: {words}" in said and "Traceback" not in said, said
