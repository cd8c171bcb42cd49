"""The command line: what a user sees for a mistake, and what a second call does."""

import subprocess
import sys
from pathlib import Path

import pytest

from simmim.__main__ import main

ROOT = Path(__file__).parents[1]
CONFIG = ["--config", str(ROOT / "config")]


def test_a_mistake_is_one_line_and_exit_code_2(capsys, tmp_path):
    code = main(
        ["pretrain", "--scale", "smoke", "--run", "defualt", "--seed", "0", "--results", str(tmp_path), *CONFIG]
    )
    error = capsys.readouterr().err
    assert code == 2
    assert error.startswith("simmim: error: unknown run 'defualt'; did you mean 'default'")
    assert error.count("\n") == 1


def test_missing_data_says_what_is_missing(capsys, tmp_path):
    code = main(
        ["pretrain", "--scale", "smoke", "--run", "default", "--seed", "0", "--results", str(tmp_path), *CONFIG]
    )
    assert code == 2
    assert "earth_tiles" in capsys.readouterr().err


def test_a_job_planned_with_another_config_is_refused(capsys, tmp_path):
    options = ["--scale", "smoke", "--run", "default", "--evaluation", "knn", "--results", str(tmp_path), *CONFIG]
    assert main(["evaluate", *options, "--expect", "0123456789ab"]) == 2
    assert "this job was planned with 0123456789ab" in capsys.readouterr().err


@pytest.mark.parametrize(
    "module",
    [
        "simmim.__main__", "simmim.report.write", "simmim.data.packing", "simmim.plan.graph", "simmim.plan.packed",
        "simmim.migration",
    ],
)  # fmt: skip
def test_what_light_verbs_import_is_free_of_torch(module):
    check = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], timeout=60).returncode == 0


def test_what_snakemake_parses_imports_the_standard_library_yaml_and_pydantic_only():
    """In every job of a cluster, Snakemake parses the workflow again."""
    check = (
        "import sys; before = {*sys.modules}\n"
        "from simmim.jobs import Jobs\nfrom simmim.config.sheets import Sheets\n"
        f"Jobs(Sheets({str(ROOT / 'config')!r})).job('page', scale='smoke')\n"
        "found = {name.partition('.')[0] for name in {*sys.modules} - before} - {*sys.stdlib_module_names}\n"
        "print(*sorted(found))"
    )
    done = subprocess.run([sys.executable, "-c", check], timeout=60, capture_output=True, text=True)
    needed = {"annotated_types", "typing_extensions", "typing_inspection", "pydantic", "pydantic_core", "yaml"}
    found = {name for name in done.stdout.split() if not name.startswith("_")} - {"cython_runtime"}  # yaml's own
    assert {"simmim"} <= found <= needed | {"simmim"}, done.stdout + done.stderr
