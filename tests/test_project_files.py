"""Files that tools outside the project read: they parse, and say the same everywhere."""

import re
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import simmim

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_metadata_are_those_of_the_citation():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert PROJECT["authors"] == [{"name": author["name"]} for author in citation["authors"]]
    assert "Typing :: Typed" in PROJECT["classifiers"] and (ROOT / "simmim" / "py.typed").is_file()


def test_the_changelog_has_this_version():
    assert f"\n## {simmim.__version__}\n" in (ROOT / "CHANGELOG.md").read_text()


def test_the_catalogue_finds_what_it_looks_for():
    """https://snakemake.github.io/snakemake-workflow-catalog/docs/catalog.html: words, files, keys."""
    readme = (ROOT / "README.md").read_text().lower()
    assert "snakemake" in readme and "workflow" in readme
    assert (ROOT / "workflow" / "Snakefile").is_file() and (ROOT / "config" / "README.md").is_file()
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert usage["mandatory-flags"].keys() == {"desc", "flags"} and usage["report"] is True
    assert usage["software-stack-deployment"]["conda"] is True


def test_every_rule_names_the_environment_that_installs_the_package():
    rules = "".join(path.read_text() for path in (ROOT / "workflow" / "rules").glob("*.smk"))
    assert {*re.findall(r'conda:\n +"([^"]+)"', rules)} == {"../envs/simmim.yaml"}
    steps = yaml.safe_load((ROOT / "workflow" / "envs" / "simmim.yaml").read_text())["dependencies"][-1]["pip"]
    assert f"simmim=={simmim.__version__}" in steps


@pytest.mark.parametrize("path", sorted((ROOT / ".github" / "workflows").glob("*.yml")), ids=lambda path: path.name)
def test_continuous_integration_runs_targets_that_there_are(path):
    jobs = yaml.safe_load(path.read_text())["jobs"]
    targets = {*re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)}
    runs = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    assert runs and {name for run in runs for name in re.findall(r"^make ([a-z-]+)$", run)} <= targets
    used = [job["strategy"]["matrix"]["python"] for job in jobs.values() if "strategy" in job]
    assert used in ([], [["3.11", "3.13"]])


def test_the_container_takes_what_the_wheel_needs():
    recipe, ignored = (ROOT / "Containerfile").read_text(), (ROOT / ".dockerignore").read_text()
    copied = {name for line in re.findall(r"^COPY (.+) \S+$", recipe, re.MULTILINE) for name in line.split()}
    assert copied == {"pyproject.toml", "README.md", "LICENSE", "config", "workflow", "simmim"}
    assert all(f"!{name}\n" in ignored and (ROOT / name).exists() for name in copied)
    assert "--constraint config/constraints.txt" in recipe


def test_the_sheets_of_the_test_folder_are_those_of_the_project():
    folder = ROOT / ".test" / "config"
    for path in (ROOT / "config").glob("*.tsv"):
        assert (folder / path.name).resolve() == path.resolve()
    assert yaml.safe_load((folder / "config.yaml").read_text()) == {"scale": "smoke"}


def test_every_mutant_can_be_applied_and_has_tests():
    """A guard that no mutant removes any more is watched by nobody."""
    sys.path.append(str(ROOT / "tests" / "mutants"))
    from run import mutants

    rows = list(mutants([]))
    texts = {row.file: (ROOT / row.file).read_text() for row in rows}
    stale = [str(row) for row in rows if texts[row.file].count(row.old) != 1]
    absent = {
        name for row in rows for name in row.tests.split(" -k ")[0].split() if not (ROOT / name.split("::")[0]).exists()
    }
    assert len(rows) > 500 and not stale and not absent
