"""What kinds of jobs ask of Slurm, as a profile says it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import yaml

from simmim.storage.reading import reading

PROFILE = Path("slurm/profile.yaml")  # what `--profile slurm` reads, also in a project on own images
EVERY_OTHER = "every other rule"
_TIME = re.compile(r"(\d+(?:\.\d+)?)\s*(s|secs?|seconds?|m|mins?|minutes?|h|hours?|d|days?|w|weeks?)?", re.IGNORECASE)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}  # by the unit's first letter
_ON_NODES = {
    "mpi": "mpi: srun",
    "tasks_per_node": "tasks_per_node: 2",
    "cpus_per_task": "cpus_per_task: half of a node's",
}


@dataclass(frozen=True)
class Asked:
    """What some rules ask for.

    Args:
        rules: those that ask for the same.
        resources: of a job of theirs, as in a profile.
    """

    rules: Sequence[str]
    resources: Mapping[str, Any]

    @property
    def gpus(self) -> int:
        """GPUs of a job, over all its nodes."""
        return self.count("gpu")

    @property
    def nodes(self) -> int:
        """Nodes of a job; 0 where that is left to Slurm."""
        return self.count("nodes")

    @property
    def partition(self) -> str:
        """Of a job; "" where that is left to Slurm, which takes the default one."""
        return str(self.resources.get("slurm_partition") or "")

    def count(self, name: str) -> int:
        """A number that a job asks for; 0 where it asks for none.

        Raises:
            ValueError: for what is no number.
        """
        given = str(self.resources.get(name) or 0)
        if not given.isdecimal():
            raise ValueError(f"{self}: {name} is '{given}', which is no number; write one, such as {name}: 8")
        return int(given)

    def __str__(self) -> str:
        return ", ".join(self.rules)


def fault_of_nodes(asked: Asked) -> str:
    """What keeps a job with GPUs from running on several nodes; "" where nothing does, or where one is enough."""
    gpus, nodes = asked.gpus, asked.nodes
    if not gpus or nodes < 2:
        return ""
    if gpus % nodes:
        return f"{asked}: gpu is {gpus}, which is not the same number on each of {nodes} nodes"
    if lacks := [example for name, example in _ON_NODES.items() if not asked.resources.get(name)]:
        return f"{asked}: nodes is {nodes}, which needs {' and '.join(lacks)} (docs/slurm.md)"
    return ""


def alike(resources: Mapping[str, Mapping[str, Any]]) -> list[Asked]:
    """Rules with what they ask for, those that ask for the same together."""
    together: dict[tuple, list[str]] = {}
    for rule, asked in resources.items():
        together.setdefault(tuple(sorted(asked.items(), key=str)), []).append(rule)
    return [Asked(rules, dict(asked)) for asked, rules in together.items()]


def asked_by(profile: Path) -> dict[str, dict[str, Any]]:
    """Rule -> what a profile asks for it; what has no value there is not asked for, as Snakemake reads it.

    Raises:
        ValueError: for a profile that is not there or holds no settings, or a runtime that is no time.
    """
    given = _read(profile)
    common = _section(profile, given, "default-resources")
    merged = {rule: common | own for rule, own in set_by(profile).items()} | {EVERY_OTHER: common}
    found = {
        rule: {name: value for name, value in resources.items() if value is not None}
        for rule, resources in merged.items()
    }
    for rule, resources in found.items():
        if "runtime" in resources:
            resources["runtime"] = _minutes(resources["runtime"], f"{profile}: runtime of {rule}")
    return found


def set_by(profile: Path) -> dict[str, dict[str, Any]]:
    """Rule -> what a profile sets for it alone."""
    of_rules = _section(profile, _read(profile), "set-resources")
    return {rule: _section(profile, of_rules, rule) for rule in of_rules}


def settings_of(profile: Path) -> SimpleNamespace:
    """What a profile sets of the plugin for every submission, by the plugin's names."""
    given = _read(profile)
    names = "qos", "reservation", "requeue", "no_requeue"
    return SimpleNamespace(**{name: given.get(f"slurm-{name.replace('_', '-')}") for name in names})


def jobs_at_a_time(profile: Path) -> int | None:
    """How many jobs of a profile are in the queue at most; None where it sets no limit."""
    written = str(_read(profile).get("jobs"))
    return int(written) if written.isdecimal() else None


def _read(profile: Path) -> Any:
    if not profile.is_file():
        raise ValueError(f"there is no Slurm profile {profile}; name yours with --profile")
    with reading(profile, "a YAML file", "correct it"):
        return yaml.safe_load(profile.read_text(encoding="utf-8"))


def _section(profile: Path, given: Any, name: str) -> dict[str, Any]:
    section = (given.get(name) or {}) if isinstance(given, dict) else None
    if not isinstance(section, dict):
        raise ValueError(f"{profile} is no Slurm profile, or is damaged: '{name}' has no settings by name; correct it")
    return section


def _minutes(runtime: object, what: str) -> int:
    """A profile's `runtime` as Snakemake reads it: minutes, or a number with a unit, which is one minute at least."""
    if not (written := _TIME.fullmatch(str(runtime).strip())):
        raise ValueError(f"{what} is '{runtime}', which is no time; write minutes, 12h or 3d")
    number, unit = float(written[1]), written[2]
    return max(1, int(round(number * _SECONDS[unit[0].lower()]) / 60)) if unit else round(number)
