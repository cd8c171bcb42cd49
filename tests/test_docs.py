"""Every command of README, CONTRIBUTING and docs is run, or is dry-run or parsed for a reason that stands here."""

from __future__ import annotations

import ast
import contextlib
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from pyarrow import parquet

from simmim import __main__ as command_line
from simmim.config.errors import DoesNotFit
from simmim.config.sheets import Sheets
from simmim.data.layout import QUARANTINE_SCHEMA, SAMPLES_SCHEMA, SHARD_SCHEMA
from simmim.planning import rows
from simmim.pretraining import reconstruction
from simmim.storage import records

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
PROGRAMS = "simmim", "snakemake", "make", "pip", "python", "git", "pytest", "snakedeploy", "conda", "podman"
# Not run as they stand, and why; what is done instead is the test of that name below.
LISTED = {
    r"simmim (pretrain|finetune|embed|export|init) .*(--data|--encoder)": (
        "parsed",
        "photos that are not here; tests/own and tests/exporting run each verb",
    ),
    r"snakemake ": ("dry_run", "trains for days, or needs a cluster"),
    r"make ": ("make_target", "minutes; `make test` would run itself"),
    r"simmim convert ": ("parsed", "weights that are not here; tests/released converts"),
    r"simmim (pack|tokenizer) --scale small": ("parsed", "CIFAR-10"),
    r"simmim doctor ": ("parsed", "a cluster; tests/slurm asks one"),
    r"simmim recover": ("parsed", "a run that was killed; tests/cluster/test_recovery.py has one"),
    r"pip install ": ("of_an_extra", "a network; tests/test_wheel.py installs"),
    r"python benchmarks/": ("benchmark", "minutes to hours, some with ImageNet"),
    r"python -c ": ("compiled", "a display"),
    r"git clone ": ("elsewhere", "a network and an address"),
    r"snakedeploy ": ("elsewhere", "an address; tests/workflow/test_workflow_catalogue.py deploys"),
}


def commands() -> dict[str, list[str]]:
    """Every command of an indented block, with the variables that its page has set before it."""
    found: dict[str, list[str]] = {}
    for page in PAGES:
        text, before = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.S | re.M), []
        for line in re.findall(r"^    (\S.*)$", text, re.MULTILINE):
            line = re.sub(r" +# .*", "", line)
            if re.fullmatch(r"[A-Z]+=\S+", line):
                before.append(line)
            elif re.sub(r"^([A-Z_]+=\S+ )*", "", line).split()[0] in PROGRAMS:
                found.setdefault(line, before)
    return found


COMMANDS = commands()


def instead(command: str) -> str:
    plain = re.sub(r"^([A-Z_]+=\S+ )*", "", command)
    return next((name for pattern, (name, _) in LISTED.items() if re.match(pattern, plain)), "run")


def those(name: str) -> list[str]:
    return [command for command in COMMANDS if instead(command) == name]


def test_every_entry_of_the_list_is_needed_and_most_pages_have_commands():
    for pattern in LISTED:
        assert any(re.match(pattern, re.sub(r"^([A-Z_]+=\S+ )*", "", command)) for command in COMMANDS), pattern
    assert len(COMMANDS) > 30 and len(those("run")) >= 4


@pytest.fixture
def project(tmp_path):
    """A folder with links to what a clone has, so that results lie elsewhere."""
    for name in ("config", "workflow", "slurm", "simmim"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("command", those("run"))
def test_it_runs(command, project, monkeypatch):
    program, *words = shlex.split(command)
    assert program == "simmim"
    monkeypatch.chdir(project)
    assert command_line.main(words) == 0


@pytest.mark.slow
@pytest.mark.parametrize("command", those("dry_run"))
def test_a_dry_run(command, project):
    words = re.sub(r" --report \S+", "", command).replace("snakemake ", "snakemake -n --quiet all ", 1)
    script = "\n".join([*COMMANDS[command], words])
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euc", script],
        cwd=project,
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


@pytest.mark.parametrize("command", those("make_target"))
def test_make_has_the_target(command):
    assert re.search(rf"^{command.split()[1]}: ", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("command", those("parsed"))
def test_the_command_line_takes_it(command):
    assert callable(command_line._options(shlex.split(command)[1:])["verb"])


@pytest.mark.parametrize("command", those("of_an_extra"))
def test_the_extras_are_those_of_the_package(command):
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert {name for names in re.findall(r"simmim\[(.+?)\]", command) for name in names.split(",")} <= {*extras}


@pytest.mark.parametrize("command", those("benchmark"))
def test_the_benchmark_has_the_options(command):
    _, file, *words = shlex.split(command)
    text = (ROOT / file).read_text()
    assert all(f'"{word}"' in text for word in words if word.startswith("--"))


def test_python_blocks_compile():
    blocks = [block for page in PAGES for block in re.findall(r"^```python\n(.*?)^```", page.read_text(), re.S | re.M)]
    assert len(blocks) > 10
    for block in blocks:
        if not block.startswith("module "):
            ast.parse(block)
    clicks = re.search(r'python -c "(.*?)" IMAGE', (ROOT / "config" / "README.md").read_text(), re.DOTALL)
    ast.parse("\n".join(line.strip() for line in clicks[1].splitlines()))


def test_every_page_is_in_the_navigation():
    text = (ROOT / "mkdocs.yml").read_text()
    named = set(re.findall(r": (\w+\.md)$", text, re.MULTILINE))
    assert named == {path.name for path in (ROOT / "docs").glob("*.md")}
    assert yaml.safe_load(text)["docs_dir"] == "docs"


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path):
    mkdocs = Path(sys.executable).parent / "mkdocs"
    command = [str(mkdocs), "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (
        "Cells" in (tmp_path / "site" / "api.html").read_text()
        or "cells" in (tmp_path / "site" / "api.html").read_text()
    )


SCHEMAS = {
    "Records": records.SCHEMA,
    "Reconstructions": reconstruction._SCHEMA,
    "Images under masks": parquet.read_schema(ROOT / "results" / "small" / "mask_samples.parquet"),
    "Packed images": SHARD_SCHEMA,
    "Plans": rows.SCHEMA,
}


def columns_of(section: str) -> dict[str, str]:
    """Column -> type, as the first table of a section of outputs.md has them."""
    _, _, after = (ROOT / "docs" / "outputs.md").read_text().partition(f"\n## {section}\n")
    table = re.search(r"(?:^\|.*\n?)+", after, re.MULTILINE)[0]
    lines = re.findall(r"^\| (`.+?) \| (\w+) \|", table, re.MULTILINE)
    return {name: kind for names, kind in lines for name in re.findall(r"`(\w+)`", names)}


@pytest.mark.parametrize("section", SCHEMAS)
def test_the_columns_are_those_of_the_code(section):
    assert columns_of(section) == {field.name: str(field.type) for field in SCHEMAS[section]}


def test_other_columns_are_named():
    page = (ROOT / "docs" / "outputs.md").read_text()
    for schema in (SAMPLES_SCHEMA, QUARANTINE_SCHEMA):
        assert all(f"`{name}`" in page for name in schema.names)
    table = parquet.read_schema(ROOT / "results" / "small" / "tables" / "table4.parquet")
    behind = table.names[table.names.index("run") :]
    assert [name for name in behind if f"`{name}`" not in page] == []


def test_every_message_of_the_page_is_one_of_the_code():
    page = (ROOT / "docs" / "errors.md").read_text()
    messages = re.findall(r"^\| `([^`]+)` \|", page, re.MULTILINE)
    files = [*(ROOT / "simmim").rglob("*.py"), *(ROOT / "workflow").rglob("*.smk")]
    code = "".join(path.read_text() for path in files)
    assert len(messages) > 12 and [message for message in messages if message not in code] == []


def test_every_link_of_every_page_leads_somewhere():
    for page in PAGES:
        folder = page.resolve().parent
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text()):
            assert target.startswith("https://") or (folder / target).exists(), (page.name, target)


def test_every_test_that_is_named_is_there():
    """A page that says which test holds it names one that exists."""
    named = {name for page in PAGES for name in re.findall(r"`(tests/[\w/]+(?:\.py)?(?:::\w+)?)`", page.read_text())}
    assert len(named) > 30
    for name in named:
        file, _, function = name.partition("::")
        assert (ROOT / file).exists(), name
        assert not function or re.search(rf"^ *def {function}\(", (ROOT / file).read_text(), re.MULTILINE), name


def test_the_cost_of_everything_is_told_of_all_evaluations():
    sheets, fit = Sheets(ROOT / "config"), 0
    for run, evaluation in sheets.evaluations("paper"):
        with contextlib.suppress(DoesNotFit):
            sheets.evaluation("paper", run, evaluation)
            fit += 1
    assert f"\n{fit} evaluations." in (ROOT / "docs" / "cost.md").read_text()
