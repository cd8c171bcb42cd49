"""What kinds of jobs ask of Slurm, as a profile says it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from simmim.storage.reading import reading

PROFILE = Path("workflow/profiles/slurm/profile.yaml")
EVERY_OTHER = "every other rule"


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
        return int(self.resources.get("gpu") or 0)

    @property
    def nodes(self) -> int:
        """Nodes of a job; 0 where that is left to Slurm."""
        return int(self.resources.get("nodes") or 0)

    def __str__(self) -> str:
        return ", ".join(self.rules)


def alike(resources: Mapping[str, Mapping[str, Any]]) -> list[Asked]:
    """Rules with what they ask for, those that ask for the same together."""
    together: dict[tuple, list[str]] = {}
    for rule, asked in resources.items():
        together.setdefault(tuple(sorted(asked.items(), key=str)), []).append(rule)
    return [Asked(rules, dict(asked)) for asked, rules in together.items()]


def asked_by(profile: Path) -> dict[str, dict[str, Any]]:
    """Rule -> what a profile asks for it.

    Raises:
        ValueError: for a profile that is not there or holds no settings, or a runtime that is no time.
    """
    if not profile.is_file():
        raise ValueError(f"there is no Slurm profile {profile}; name yours with --profile")
    with reading(profile, "a YAML file", "correct it"):
        given = yaml.safe_load(profile.read_text(encoding="utf-8"))
    common, of_rules = (_section(profile, given, name) for name in ("default-resources", "set-resources"))
    found = {rule: common | _section(profile, of_rules, rule) for rule in of_rules} | {EVERY_OTHER: dict(common)}
    for rule, resources in found.items():
        if "runtime" in resources:
            resources["runtime"] = round(_minutes(resources["runtime"], f"{profile}: runtime of {rule}"))
    return found


def _section(profile: Path, given: Any, name: str) -> dict[str, Any]:
    section = (given.get(name) or {}) if isinstance(given, dict) else None
    if not isinstance(section, dict):
        raise ValueError(f"{profile} is no Slurm profile, or is damaged: '{name}' has no settings by name; correct it")
    return section


def _minutes(runtime: object, what: str) -> float:
    """A profile's `runtime`: minutes, 12h or 3d."""
    if not (written := re.fullmatch(r"([\d.]+) ?([dhm]?)", str(runtime))):
        raise ValueError(f"{what} is '{runtime}', which is no time; write minutes, 12h or 3d")
    return float(written[1]) * {"d": 1440, "h": 60}.get(written[2], 1)
