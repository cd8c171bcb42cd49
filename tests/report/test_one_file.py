"""A table or a figure is one file: a new one is listed, made by its verb and shown on the page, with no other edit."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.new_files import FILES
from helpers.sheets import replace
from made_up import FACTS

from simmim.plugin import names
from simmim.report import catalogue
from simmim.report.page import SECTIONS
from simmim.report.scale_facts import ResultFile

ROOT = Path(__file__).parents[2]
ASK = """
from simmim.config.sheets import Sheets
from simmim.report import catalogue as c
sheets = Sheets("config")
print("table", "mine" in c.shown_tables(sheets, "small"), c.table_needs("mine", sheets, "small"))
print("figure", "mine" in c.figures(sheets, "small"), c.figure_description("mine"))
"""


def run(folder: Path, *command: str) -> str:
    environment = os.environ | {"PYTHONPATH": str(folder)}
    done = subprocess.run([sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A copy of the project with the committed results, and one new file of each kind."""
    folder = tmp_path_factory.mktemp("project")
    for part in ("simmim", "config", "results/small"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    there = len(list((folder / "results/small/pretrain/default").glob("seed*")))  # the scale may ask for more
    replace(folder / "config/scales/small.yaml", " default: 10,", f" default: {there},")
    for file in ("report/tables/mine.py", "report/figures/mine.py"):
        (folder / "simmim" / file).write_text(FILES[file])
    return folder


def test_it_is_listed_and_asked_for_what_it_needs(project):
    assert run(project, "-c", ASK).splitlines() == [
        "table True [ResultFile(kind='evaluate', run='default', evaluation='finetune')]",
        "figure True How large the gradients are.",
    ]


def test_it_is_made_by_its_verb_and_shown_on_the_page(project):
    verb = "-m", "simmim"
    run(project, *verb, "table", "--scale", "small", "--name", "mine")
    run(project, *verb, "figure", "--scale", "small", "--name", "mine")
    small = project / "results" / "small"
    assert "| default | " in (small / "tables" / "mine.md").read_text()
    page = """
from pathlib import Path
from simmim.report.page import write_page
small = Path("results/small")
write_page(small / "page.html", "small", [small / "tables/mine.parquet"], [small / "figures/mine.png"])
"""
    run(project, "-c", page)
    text = (small / "page.html").read_text()
    assert '<h2 id="a-section-of-its-own">A section of its own</h2>' in text
    for words in ("Top-5 of fine-tuning · small scale", "Gradient norms · small scale", "One line per seed."):
        assert words in text


@pytest.mark.parametrize("kind", ["tables", "figures"])
def test_every_file_of_its_kind_keeps_the_contract(kind):
    for name in names(f"report.{kind}"):
        module = importlib.import_module(f"simmim.report.{kind}.{name}")
        assert module.__doc__ and module.title and module.section in SECTIONS, name
        assert all(isinstance(need, ResultFile) for need in module.needs(FACTS)), name
        assert module.needs(catalogue.ScaleFacts("empty", "default")) == [], f"{name} needs files where none are"
        assert callable(module.make)
        assert kind == "tables" or module.description.endswith("."), name
