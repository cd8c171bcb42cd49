"""A new task is a new folder: nearest class centroid, written into a scratch copy of the package with a row for it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SETTINGS = '''"""Settings of the nearest class centroid."""

from __future__ import annotations

from typing import ClassVar

from simmim.evaluate.frozen_settings import FrozenSettings


class CentroidSettings(FrozenSettings):
    """Nearest class centroid; `power` is that of the distance."""

    label: ClassVar[str] = "nearest centroid"
    trains: ClassVar[bool] = False

    power: int = 2
'''
TASK = '''"""Nearest class centroid on frozen features."""

from __future__ import annotations

import torch

from simmim.evaluate.feature_rows import rows_of_blocks
from simmim.evaluate.frozen_task import FrozenTask


class Centroid(FrozenTask):
    """The class whose mean feature is nearest."""

    def score(self, module, split):
        kept, held_out = self.parts
        return rows_of_blocks(self._all(kept, held_out), self._all(self.train, self.inputs.features[split]))

    def _all(self, bank, queries):
        return [self._accuracy(bank, queries, block) for block in range(len(bank.maps))]

    def _accuracy(self, bank, queries, block):
        found = bank.read(block)
        classes = range(len(self.inputs.classes))
        means = torch.stack([found[bank.labels == each].mean(0) for each in classes])
        nearest = torch.cdist(queries.read(block), means, p=self.inputs.settings.power).argmin(1)
        return 100 * (nearest == queries.labels).double().mean().item()
'''
RECIPE = "stage: evaluate\ntask: centroid\nrole: classify\nsettings: {image_px: 192}\n"
SCRIPT = """
import sys
from pathlib import Path
from evaluations import evaluated, made_encoder, made_sets
from simmim.config.sheets import Sheets

out, sheets = Path(sys.argv[1]), Sheets("config")
config = sheets.evaluation("smoke", "default", "centroid_l3")
assert (config.task, config.settings.power, config.settings.image_px) == ("centroid", 3, 64)
assert set(sheets.feature_sets("smoke", "default", "centroid_l3")) == {"train", "val"}
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
    for name, text in {"__init__": '"""Nearest class centroid."""\n', "settings": SETTINGS, "task": TASK}.items():
        (package / f"{name}.py").write_text(text)
    (folder / "config" / "recipes" / "centroid.yaml").write_text(RECIPE)
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
