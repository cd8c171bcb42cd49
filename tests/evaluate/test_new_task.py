"""A new task is a new folder: nearest class centroid, written into a scratch copy of the package with a row for it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.new_files import FILES, ROWS

ROOT = Path(__file__).parents[2]
SCRIPT = """
import sys
from pathlib import Path
from evaluations import evaluated, made_encoder, made_sets
from simmim.config.sheets import Sheets

out, sheets = Path(sys.argv[1]), Sheets("config")
config = sheets.evaluation("smoke", "default", "centroid_l3")
assert (config.task, config.settings.power, config.settings.image_px) == ("centroid", 3, 64)
assert set(sheets.read_features("smoke", "default", "centroid_l3").data) == {"train", "val"}
section = sheets.pretraining("smoke", "default").encoder.model_dump(mode="json")
encoder = made_encoder(out / "encoder.safetensors", section=section)
rows, _ = evaluated(config, [encoder], made_sets(out), out / "centroid_l3.parquet")
print(*rows[rows["part"] == "chosen"]["value"])
"""


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    """A copy of the package and its sheets with one more folder, recipe and row."""
    folder = tmp_path_factory.mktemp("scratch")
    for name in ("simmim", "config"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    package = folder / "simmim" / "evaluate" / "centroid"
    package.mkdir()
    for name in ("__init__", "settings", "task"):
        (package / f"{name}.py").write_text(FILES[f"evaluate/centroid/{name}.py"])
    (folder / "config" / "recipes" / "centroid.yaml").write_text(ROWS["recipes/centroid.yaml"])
    with (folder / "config" / "evaluate.tsv").open("a") as sheet:
        sheet.write("default\tcentroid_l3\tcentroid\tsettings.power=3\n")
    return folder


def run(scratch, *command):
    environment = os.environ | {"PYTHONPATH": f"{scratch}:{Path(__file__).parent}"}
    done = subprocess.run([sys.executable, *command], cwd=scratch, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_the_contract_tests_reach_it(scratch):
    contract = Path(__file__).parent / "test_task_contract.py"
    output = run(scratch, "-m", "pytest", str(contract), "-k", "centroid", "-v", "-p", "no:cacheprovider")
    assert "5 passed" in output, output


def test_a_recipe_and_a_row_make_it_an_evaluation(scratch, tmp_path):
    value = float(run(scratch, "-c", SCRIPT, str(tmp_path)).split()[-1])
    assert 0 <= value <= 100
