"""One place of versions: the constraints; environment.yml and pyproject.toml must agree with them."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

import simmim

ROOT = Path(__file__).parents[2]


def normal(name):
    return re.sub(r"[-_.]+", "-", re.sub(r"\[.*\]|[<>=].*", "", name)).lower()


def pins(lines):
    return {normal(name): version for name, version in (line.split("==") for line in lines if "==" in line)}


def direct_dependencies(extras):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    groups = [names for extra, names in project["optional-dependencies"].items() if extras is None or extra in extras]
    return {normal(name) for name in sum(groups, project["dependencies"])} - {"simmim"}  # an extra may name another


@pytest.mark.parametrize(
    ("file", "extras"),
    [("environment.yml", None), ("workflow/envs/simmim.yaml", {"dense", "workflow", "demo", "methods"})],
)
def test_conda_gets_the_versions_that_pip_gets(file, extras):
    constraints = pins((ROOT / "config" / "constraints.txt").read_text().splitlines())
    conda = yaml.safe_load((ROOT / file).read_text())["dependencies"]
    listed = pins(conda[-1]["pip"])
    assert listed.pop("simmim", simmim.__version__) == simmim.__version__
    assert listed == {name: constraints[name] for name in direct_dependencies(extras)}


def test_the_versions_the_results_were_made_with_are_pinned():
    constraints = pins((ROOT / "config" / "constraints.txt").read_text().splitlines())
    expected = {"torch": "2.14.1", "torchvision": "0.29.1", "timm": "1.0.31", "snakemake": "9.27.1"}
    assert {name: constraints[name] for name in expected} == expected
