"""What Slurm would not give is named, with pretended commands of Slurm."""

import os
import re
from pathlib import Path

import pytest
import snakemake_executor_plugin_slurm
import yaml

from simmim.__main__ import main
from simmim.cluster import checks, folder
from simmim.cluster.asked import EVERY_OTHER, PROFILE, Asked, alike, asked_by
from simmim.jobs import TRAINING
from simmim.planning import planner

ALL = [*TRAINING, "first_stage_large", "pretrain_large", "finetune_large"]
JOB = {"slurm_account": "a", "slurm_partition": "big", "nodes": 1, "gpu": 4, "mem_mb": 100, "runtime": 60}


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """A `sinfo` with two kinds of nodes and a limit, and a `sbatch` that refuses partition `closed`."""
    for name, script in {
        "squeue": "",  # the plugin looks for it once in a process
        "sinfo": 'case "$*" in *partition=None*|*partition=) exit 1;; *partition*) star= ;; *) star="*"; '
        'echo "CLUSTER: c"; echo "other|gpu:9";; esac; '
        'case $2 in *%G) echo "big$star|gpu:a100:2(S:0),gpu:v100:2"; echo "big$star|(null)";; '
        '*) echo "big$star|1-00:00:00";; esac',
        "sbatch": f'echo "$@" >> {tmp_path}/asked; case "$*" in *closed*) echo "sbatch: error: no" >&2; exit 1;; esac',
    }.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{script}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return tmp_path


def faults(**change):
    return checks.faults([Asked(["pretrain", "evaluate"], JOB | change)])


def test_a_job_that_can_be_had_is_asked_for_as_the_plugin_does(slurm):
    assert faults() == []
    (asked,) = (slurm / "asked").read_text().splitlines()
    for word in ("-A a", "-p big", "-t 60", "--mem 100", "--nodes=1", "--gpus=4", "--test-only"):
        assert word in asked


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"gpu": 5}, "pretrain, evaluate: 5 GPUs are asked of a node, and the nodes of partition 'big' have 4"),
        ({"nodes": 0}, "set nodes: 1"),
        ({"nodes": 3}, "not the same number"),
        ({"nodes": 2}, "needs mpi: srun and tasks_per_node: 2 and cpus_per_task: half of a node's (docs/slurm.md)"),
        ({"runtime": 1441}, "gives 1440"),
        ({"slurm_partition": "closed"}, "Slurm refuses a job of pretrain, evaluate: no"),
        ({"nodes": 2, "mpi": "srun", "tasks_per_node": 1, "cpus_per_task": 4}, "must be greater than 1"),
    ],
)
def test_what_cannot_be_had_is_named(slurm, change, words):
    (fault,) = faults(**change)
    assert words in fault


@pytest.mark.parametrize("partition", [None, ""])
def test_where_no_partition_is_named_the_default_one_counts(slurm, partition):
    assert faults(slurm_partition=partition) == []
    (fault,) = faults(slurm_partition=partition, gpu=5)
    assert "5 GPUs are asked of a node, and the nodes of the default partition have 4" in fault
    (fault,) = faults(slurm_partition=partition, runtime=1441)
    assert "runtime is 1441 minutes, and the default partition gives 1440" in fault


def test_without_a_default_partition_slurm_says_what_it_makes_of_a_job(slurm):
    """Some clusters choose one for every job."""
    (slurm / "sinfo").write_text('#!/bin/bash\necho "cpu|(null)"\n')
    assert faults(slurm_partition="", gpu=5) == [] and "-p" not in (slurm / "asked").read_text().split()


def test_a_profile_that_was_not_filled_in_is_refused_in_one_sentence_and_without_slurm(monkeypatch):
    monkeypatch.setenv("PATH", "")
    (fault,) = checks.faults(alike(asked_by(PROFILE)))
    assert fault.startswith("slurm_account and slurm_partition still say CHANGE_ME")


@pytest.mark.parametrize(("name", "value"), [("gpu", "eight"), ("nodes", -1), ("gpu", 1.5)])
def test_what_is_no_number_is_named_with_its_rules(name, value):
    said = f"pretrain, evaluate: {name} is '{value}', which is no number; write one, such as {name}: 8"
    with pytest.raises(ValueError, match=re.escape(said)):
        faults(**{name: value})


@pytest.mark.parametrize(
    ("name", "near"), [("gpus", "gpu"), ("cpu_per_task", "cpus_per_task"), ("partition", "slurm_partition")]
)
def test_a_resource_that_nothing_reads_is_named_with_the_nearest(slurm, name, near):
    (fault,) = faults(**{name: 8})
    assert fault == f"pretrain, evaluate: nothing reads the resource '{name}'; did you mean '{near}'?"


def test_resources_that_the_plugin_reads_and_a_cluster_s_own_are_let_pass(slurm):
    assert faults(licences=1, constraint="a100", **dict.fromkeys(("_cores", "_nodes", "tmpdir", "mem_mib"), 1)) == []
    sources = Path(snakemake_executor_plugin_slurm.__file__).parent.glob("*.py")
    read = {name for file in sources for name in re.findall(r"job\.resources\.get\(\s*\"(\w+)\"", file.read_text())}
    assert len(read) > 15 and read <= {*checks.READ}


@pytest.mark.parametrize(
    ("words", "refused"),
    [
        ({"pretrian": {"gpu": 8}}, "unknown rule under set-resources 'pretrian'; did you mean 'pretrain'?"),
        ({"pretrain": {}}, "pretrain: no gpu is set under set-resources, where evaluate has one; write how many"),
        ({"pretrain_large": {"runtime": 9}}, "pretrain_large: no gpu is set under set-resources, where evaluate has"),
    ],
)
def test_a_training_that_the_gpus_do_not_reach_is_refused(slurm, capsys, words, refused):
    """By a misspelt rule or a forgotten one, which Snakemake passes over."""
    profile = slurm / "profile.yaml"
    profile.write_text(yaml.safe_dump({"default-resources": JOB, "set-resources": dict.fromkeys(ALL, JOB) | words}))
    assert main(["doctor", "--profile", str(profile), "--results", str(slurm), "--scale", "paper"]) == 2
    assert f"simmim: error: {refused}" in capsys.readouterr().err and not (slurm / "asked").exists()


def test_trainings_may_have_no_gpu_where_none_has_or_where_that_is_written():
    assert checks.faults_of_names({"pretrain": ["runtime"]}, ["pretrain"], ["pretrain", "evaluate"]) == []
    assert checks.faults_of_names({"pretrain": ["gpu"], "evaluate": ["gpu"]}, ALL, ["pretrain", "evaluate"]) == []


def test_without_slurm_that_is_said(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ValueError, match="there is no sinfo here"):
        faults()


@pytest.mark.parametrize(("limit", "minutes"), [("infinite", float("inf")), ("2-01:30:00", 2970), ("30:00", 30)])
def test_time_limits_are_read_as_slurm_prints_them(limit, minutes):
    assert checks._minutes(limit) == minutes


def test_what_the_plugin_adds_to_every_submission_is_asked_for_too(slurm, capsys):
    """And of several accounts the first alone, to which it submits."""
    own = {"slurm-qos": "closed", "slurm-reservation": "ours", "slurm-requeue": True}
    asked = {"default-resources": JOB | {"slurm_account": "a, b"}, "set-resources": {rule: {"gpu": 4} for rule in ALL}}
    (slurm / "profile.yaml").write_text(yaml.safe_dump(asked | own))
    assert main(["doctor", "--profile", str(slurm / "profile.yaml"), "--results", str(slurm / "results")]) == 2
    assert f"Slurm refuses a job of {', '.join(sorted(ALL))}" in capsys.readouterr().err
    (words,) = {*(slurm / "asked").read_text().splitlines()}
    assert all(f" {word} " in words for word in ("--qos=closed", "--reservation=ours", "--requeue", "-A a")), words


def test_the_profile_that_was_not_filled_in_is_named(tmp_path, capsys):
    (tmp_path / "mine.yaml").write_text("default-resources:\n  slurm_account: CHANGE_ME\n")
    assert main(["doctor", "--profile", str(tmp_path / "mine.yaml"), "--results", str(tmp_path)]) == 2
    assert f"name those of your cluster in {tmp_path}/mine.yaml" in capsys.readouterr().err


def test_rules_that_ask_for_the_same_are_asked_about_once(tmp_path):
    file = tmp_path / "profile.yaml"
    rules = {"pretrain": {"gpu": 2, "runtime": "2h"}, "finetune": {"gpu": 2, "runtime": 120}, "pack": {"runtime": 5}}
    file.write_text(yaml.safe_dump({"default-resources": {"gpu": 0, "runtime": 5}, "set-resources": rules}))
    found = {str(each): (each.gpus, each.resources["runtime"]) for each in alike(asked_by(file))}
    assert found == {"finetune, pretrain": (2, 120), f"pack, {EVERY_OTHER}": (0, 5)}


def test_a_folder_renames_and_locks(tmp_path):
    assert folder.faults(tmp_path / "new") == [] and not list((tmp_path / "new").iterdir())


def test_a_folder_that_cannot_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    assert "cannot be written to" in folder.faults(tmp_path / "file" / "below")[0]
    monkeypatch.setattr(folder, "_OTHER", "")  # as where locks are local to a node
    assert "does not keep another process out" in folder.faults(tmp_path)[0]


def test_the_doctor_says_that_a_profile_was_not_filled_in(capsys):
    assert main(["doctor", "--profile", str(PROFILE)]) == 2
    assert "still say CHANGE_ME: name those of your cluster" in capsys.readouterr().err


def test_the_doctor_looks_at_jobs_disk_and_data(slurm, capsys, monkeypatch):
    profile = slurm / "profile.yaml"
    profile.write_text(yaml.safe_dump({"default-resources": JOB, "set-resources": dict.fromkeys(ALL, JOB)}))
    row = {"kind": "data", "run": "imagenet", "evaluation": "val", "checkpoint_bytes": None}
    rows = [row | {"state": "done", "disk_bytes": 1e18}]
    monkeypatch.setattr(planner, "planned_rows", lambda *_: rows)  # the plan itself takes a minute
    words = ["doctor", "--profile", str(profile), "--results", str(slurm / "results"), "--scale", "paper"]
    assert main(words) == 0
    kinds = ", ".join([*sorted(ALL), EVERY_OTHER])
    assert f"slurm   takes every kind of job in {profile}: {kinds}" in capsys.readouterr().out
    rows.append(row | {"state": "to do", "disk_bytes": 1e18})
    assert main(words) == 2
    said = capsys.readouterr().err
    assert "data set imagenet has no data/imagenet/val" in said and "1,000,000,000 GB are to be written" in said
