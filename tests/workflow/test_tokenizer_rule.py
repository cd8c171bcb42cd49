"""A run whose target names a tokenizer has it made first, and published weights are an input like any other."""

import os
import subprocess

from test_workflow import copy_of_the_project, planned, snakemake

TARGET = "results/smoke/pretrain/codes/seed0/train.parquet"


def _with_row(folder, tokenizer):
    project = copy_of_the_project(folder)
    target = f"target=tokens target.tokenizer={tokenizer} target.resolution_px=32 loss.name=cross_entropy"
    with open(project / "config" / "pretrain.tsv", "a") as sheet:
        sheet.write(f"codes\tswin_b_100ep\t{target}\n")
    return project


def test_a_run_of_codes_plans_its_tokenizer(tmp_path):
    plan = planned(snakemake(_with_row(tmp_path, "colours_512"), "-n", TARGET))
    assert plan == {"demo_data": 1, "pack": 2, "tokenizer": 1, "pretrain": 1}


def test_missing_published_weights_are_named(tmp_path):
    project = _with_row(tmp_path, "igpt_512")
    command = ["snakemake", "--profile", "workflow/profiles/local", "-n", TARGET]
    environment = os.environ | {"PYTHONPATH": str(project), "HOME": str(project)}
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode != 0
    assert "data/tokenizers/igpt_clusters.npy" in done.stdout + done.stderr
