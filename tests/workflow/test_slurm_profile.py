"""The Slurm profile asks for what the rules need: each one that runs a network has its resources, GPUs on one node."""

import re
from pathlib import Path

import pytest
import yaml

from simmim.config.sheets import Sheets
from simmim.jobs import Jobs
from simmim.planning.limits import names_of_rules, rules_that_train

WORKFLOW = Path(__file__).parents[2] / "workflow"
PROFILE = yaml.safe_load((WORKFLOW / "profiles" / "slurm" / "profile.yaml").read_text())


def rules() -> dict[str, str]:
    """Text of every rule by name; one made by `use rule` has that of its model too."""
    text = "\n".join(file.read_text() for file in sorted((WORKFLOW / "rules").glob("*.smk")))
    found: dict[str, str] = {}
    for block in re.split(r"\n(?=(?:use )?rule )", text):
        if heading := re.match(r"(?:use rule (\w+) as|rule) (\w+)", block):
            found[heading[2]] = block + found.get(heading[1], "")
    return found


# Threads are limited where torch computes, and the launcher starts a process for every GPU.
COMPUTING = sorted(name for name, text in rules().items() if "OMP_NUM_THREADS" in text)
LAUNCHED = sorted(name for name, text in rules().items() if "launch=launcher" in text)


def test_the_rules_are_found():
    assert {"evaluate", "finetune", "first_stage", "pretrain", "tokenizer"} < set(LAUNCHED) < set(COMPUTING)


def test_the_rules_are_those_that_a_profile_is_held_against():
    assert {*names_of_rules()} == rules().keys() | {"all"}
    assert sorted(rules_that_train(Jobs(Sheets("config")))) == LAUNCHED


@pytest.mark.parametrize("rule", COMPUTING)
def test_a_rule_that_runs_a_network_has_its_resources(rule):
    own = PROFILE["set-resources"][rule]
    resources = PROFILE["default-resources"] | own
    assert resources.keys() >= {"nodes", "gpu", "cpus_per_task", "mem_mb", "runtime"}
    assert resources["nodes"] == 1
    assert (resources["gpu"] > 0) == (rule in LAUNCHED) == ("slurm_partition" in own)
    assert resources["cpus_per_task"] >= resources["gpu"] and resources["runtime"] > 0
    assert resources["mem_mb"] > PROFILE["default-resources"]["mem_mb"]


def test_no_entry_is_left_of_a_rule_that_is_gone():
    assert PROFILE["set-resources"].keys() <= rules().keys()


def test_what_a_cluster_must_be_told_stands_once():
    text = (WORKFLOW / "profiles" / "slurm" / "profile.yaml").read_text()
    lines = [line.split("#")[0] for line in text.splitlines()]
    assert sum("CHANGE_ME" in line for line in lines) == 3  # account, partition without GPUs, partition with
    assert sum(line.strip().startswith("gpu: 8") for line in lines) == 1


def test_every_job_says_how_many_nodes_it_wants():
    """Without it Slurm may spread the GPUs of a job over several, where its processes do not find each other."""
    assert PROFILE["default-resources"]["nodes"] == 1
