"""What starts a job, in a workflow of one rule: the cards of the machine."""

import subprocess
from pathlib import Path

import pytest
from helpers.gpus import pretend_cards

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


def snakemake(folder, *words):
    """What Snakemake prints of the job, or says against it."""
    (folder / "Snakefile").write_text(RULE)
    command = ["snakemake", "--cores=2", "--nocolor", *words]
    environment = pretend_cards(folder, "GPU-a", "GPU-b") | {"HOME": str(folder)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr


@pytest.mark.parametrize(("words", "number"), [((), 2), (("--resources", "gpu=1"), 1)])
def test_as_many_jobs_at_a_time_as_there_are_cards_or_as_was_said(tmp_path, words, number):
    assert f"at a time: {number}" in (said := snakemake(tmp_path, *words)), said
