"""What Slurm would refuse, or leave in its queue for ever, said before the first submission."""

from __future__ import annotations

import difflib
import math
import re
import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from simmim.cluster.asked import PROFILE, Asked, fault_of_nodes
from simmim.cluster.queue import answer_to
from simmim.plugin import check_choice

TO_CHANGE = "CHANGE_ME"
# Resources that Snakemake or its Slurm plugin reads; one of another name says nothing to either.
READ = (
    *("mem", "mem_mb", "mem_mib", "disk", "disk_mb", "disk_mib", "runtime", "tmpdir", "_cores", "_nodes", "threads"),
    *("slurm_account", "slurm_partition", "slurm_extra", "slurm_cluster", "cluster", "clusters", "constraint", "qos"),
    *("nodes", "gpu", "gpu_model", "gres", "mpi", "mem_mb_per_cpu", "cpus_per_task", "cpus_per_gpu"),
    *("tasks", "tasks_per_node", "tasks_per_gpu"),
)


def faults(asked: Sequence[Asked], settings: Any = None, profile: Path = PROFILE) -> list[str]:
    """A sentence for every fault; where the profile has not been filled in, for that alone.

    Args:
        settings: of the plugin, which are in every submission beside what a rule asks for (`asked.settings_of`).
        profile: what to fill in.
    """
    unnamed = sorted({name for each in asked for name, value in each.resources.items() if TO_CHANGE in str(value)})
    if unnamed:
        return [f"{' and '.join(unnamed)} still say {TO_CHANGE}: name those of your cluster in {profile}"]
    return [fault for each in asked for fault in _faults(each, settings)]


def faults_of_names(
    of_rules: Mapping[str, Collection[str]], rules: Collection[str], training: Iterable[str]
) -> list[str]:
    """A sentence for what would leave trainings without the GPUs of others: Snakemake passes over unknown names.

    Args:
        of_rules: by rule of `set-resources`, the resources that it names.
        rules: all there are.
        training: those that run a network. They say themselves what `gpu` is where a profile does not: that of the
            machine that submits, and no default.

    Raises:
        ValueError: for a rule that there is not, with the nearest.
    """
    for rule in of_rules:
        check_choice("rule under set-resources", rule, rules)
    having = next((rule for rule, names in of_rules.items() if "gpu" in names), "")
    lacking = [rule for rule in training if "gpu" not in of_rules.get(rule, ())]
    if not having or not lacking:
        return []
    what = f"no gpu is set under set-resources, where {having} has one; write how many (gpu: 0 for none)"
    return [f"{', '.join(lacking)}: {what}"]


def _misspelt(asked: Asked) -> str:
    """A resource that is named nearly, or without its prefix, as one that is read; others may be a cluster's own."""
    for name in asked.resources:
        near = [f"slurm_{name}"] if f"slurm_{name}" in READ else difflib.get_close_matches(name, READ, 1, 0.8)
        if name not in READ and near:
            return f"{asked}: nothing reads the resource '{name}'; did you mean '{near[0]}'?"
    return ""


def _faults(asked: Asked, settings: Any) -> Iterator[str]:
    if found := _misspelt(asked) or _gpu_fault(asked) or _time_fault(asked):
        yield found
    elif refusal := _refusal(asked, settings):
        yield f"Slurm refuses a job of {asked}: {refusal}"


def _gpu_fault(asked: Asked) -> str:
    """What is wrong with the GPUs of a job: Slurm would spread them over nodes, or wait for a node that has so many."""
    if not asked.gpus:
        return ""
    if not asked.nodes:
        return f"{asked}: gpu is {asked.gpus} and nodes is not set, so that Slurm may spread them; set nodes: 1"
    if fault := fault_of_nodes(asked):
        return fault
    have, need = gpus_of_a_node(asked.partition), asked.gpus // asked.nodes
    if have < need:
        return f"{asked}: {need} GPUs are asked of a node, and the nodes of {_named(asked.partition)} have {have}"
    return ""


def _time_fault(asked: Asked) -> str:
    """A job that asks for more time than its partition gives may wait for ever, as some clusters are set up."""
    most = max(map(_minutes, _nodes_say("%l", asked.partition)), default=math.inf)
    if int(asked.resources.get("runtime") or 0) <= most:
        return ""
    return f"{asked}: runtime is {asked.resources['runtime']} minutes, and {_named(asked.partition)} gives {most:.0f}"


def _named(partition: str) -> str:
    return f"partition '{partition}'" if partition else "the default partition"


def _minutes(limit: str) -> float:
    """A time limit as Slurm prints it: 1-00:00:00, 12:00:00, 30:00, infinite."""
    if not (found := re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", limit.strip())):
        return math.inf
    days, hours, minutes, _ = (int(number or 0) for number in found.groups())
    return 1440 * days + 60 * hours + minutes


def gpus_of_a_node(partition: str) -> float:
    """GPUs of the node of a partition that has most; any number where a cluster has no default one, but chooses."""
    return max(map(_gpus, _nodes_say("%G", partition)), default=0 if partition else math.inf)


def _nodes_say(what: str, partition: str) -> list[str]:
    """What sinfo prints of the nodes of a partition, or of the default one, whose name ends with a star there."""
    named = [f"--partition={partition}"] if partition else []
    answer = answer_to(["sinfo", "--noheader", f"--format=%P|{what}", *named])
    if answer.returncode:
        raise ValueError(f"sinfo cannot say what nodes there are: {answer.stderr.strip()}")
    lines = [line.partition("|") for line in answer.stdout.splitlines()]
    return [said for name, bar, said in lines if bar and (partition or name.strip().endswith("*"))]


def _gpus(resources: str) -> int:
    """GPUs among the generic resources of a node: gpu:2, or gpu:a100:4(S:0-1),gpu:v100:2."""
    return sum(int(number) for number in re.findall(r"\bgpu(?::[^:,()]+)?:(\d+)", resources))


def _refusal(asked: Asked, settings: Any) -> str:
    """Why Slurm would not take such a job; "" where it would."""
    from snakemake_interface_common.exceptions import WorkflowError

    try:
        answer = answer_to([*shlex.split(_submission(asked, settings)), "--test-only", "--wrap=true"])
    except WorkflowError as error:  # the plugin's own checks
        return str(error)
    return "" if answer.returncode == 0 else " ".join(answer.stderr.split()).replace("sbatch: error: ", "")


class _Resources(dict):
    __getattr__ = dict.get


def _submission(asked: Asked, settings: Any) -> str:
    """The plugin's sbatch command for such a job, but for its script; of several accounts it submits to the first."""
    from snakemake_executor_plugin_slurm.submit_string import get_submit_command
    from snakemake_executor_plugin_slurm.utils import set_gres_string

    given = _Resources(asked.resources)
    job: Any = SimpleNamespace(resources=given, threads=1)
    accounts = [each for each in re.split(r"[,\s]+", str(given.get("slurm_account") or "")) if each]
    account = f"-A {shlex.quote(accounts[0])}" if accounts else ""
    partition = f"-p {shlex.quote(str(given['slurm_partition']))}" if given.get("slurm_partition") else ""
    names = {"run_uuid": "simmim_test", "slurm_logfile": "/dev/null", "comment_str": str(asked), "workdir": ""}
    command = get_submit_command(job, names | {"account": account, "partition": partition}, settings)
    return command + set_gres_string(job)
