"""What every evaluation task keeps to, whichever there are: a new package is tested without an edit here."""

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from evaluations import ALONE, evaluated, extracted, made_for_every_task, small

import simmim
from simmim import plugin
from simmim.config.sections import TaskSettings
from simmim.data.shards import Shards
from simmim.evaluate.job import Job
from simmim.evaluate.task import Task
from simmim.train import speed

PACKAGE = Path(simmim.__file__).parent
NAMES = plugin.names("evaluate")
every_task = pytest.mark.parametrize("name", NAMES)


def syntax_trees(*folders):
    for folder in folders:
        for path in sorted((PACKAGE / folder).rglob("*.py")):
            yield path, ast.parse(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return made_for_every_task(tmp_path_factory.mktemp("tasks"), ("train", 8, 0), ("val", 5, 50))


@every_task
class TestEveryTask:
    def test_it_has_settings_and_a_task(self, name):
        settings, task = plugin.task_settings(name), plugin.task(name)
        assert issubclass(settings, TaskSettings) and settings.label
        assert issubclass(task, Task) and task.__doc__ and settings.__doc__
        assert settings().image_px >= 8, "all settings have defaults"
        assert not (settings.reads_features and settings.leaves_encoders), "a frozen encoder is not handed on"
        assert settings.trains or not settings.leaves_encoders

    def test_it_imports_no_other_task(self, name):
        others = {f"simmim.evaluate.{other}" for other in NAMES if other != name}
        for path, tree in syntax_trees(f"evaluate/{name}"):
            for node in ast.walk(tree):
                modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                modules += [each.name for each in node.names] if isinstance(node, ast.Import) else []
                for module in modules:
                    assert ".".join(module.split(".")[:3]) not in others, f"{path} imports {module}"

    def test_it_has_a_training_or_none(self, name):
        config = small(name)
        assert config.settings.trains == (config.train is not None)
        if not config.settings.trains:
            with pytest.raises(ValueError, match=f"task {name} trains nothing, remove the section 'train'"):
                small(name, train={"epochs": 1, "batch": 4, "base_lr": 1.0})
        else:
            with pytest.raises(ValueError, match=f"task {name} needs a section 'train'"):
                type(config).model_validate(config.model_dump() | {"train": None})

    def test_from_a_config_to_records(self, name, made, tmp_path):
        """Losses and scores of a whole evaluation; scoring again says the same."""
        encoder, sets = made
        data = sets.get(name, sets[""])
        config = small(name)
        rows, _ = evaluated(config, [encoder], data, tmp_path / "a.parquet")
        losses = rows[rows["metric"] == "train_loss"]
        scores = rows[~rows["metric"].isin({"train_loss", "loss_spikes", *speed.METRICS})]
        assert losses["step"].tolist() == list(range(1, 1 + len(losses)))
        assert (len(losses) > 1) == config.settings.trains == (rows["metric"] == "loss_spikes").any()
        assert np.isfinite(losses["value"]).all() and set(losses["dataset"]) <= {"train_set"}
        assert len(scores) and np.isfinite(scores["value"]).any() and set(scores["dataset"]) == {"val_set"}
        assert not config.settings.is_score or scores["value"].dropna().between(0, 100).all()
        assert not scores.duplicated(["metric", "part"]).any()
        assert (tmp_path / "a.encoders").is_dir() == config.settings.leaves_encoders

    def test_a_score_draws_nothing(self, name, made, tmp_path):
        encoder, sets = made
        data, config = sets.get(name, sets[""]), small(name)
        features = next(iter(extracted(config, [encoder], data, tmp_path)), None)
        shards = {split: Shards(folder) for split, folder in data.items()}
        task = plugin.task(name)(Job(config, encoder, shards, 0, tmp_path / "state", ALONE, features).inputs())
        module = task.module()
        assert (module is not None) == config.settings.trains
        assert str(task.score(module, "val")) == str(task.score(module, "val"))


def test_settings_are_read_without_torch():
    script = "import sys; from simmim import plugin; [plugin.task_settings(name) for name in plugin.names('evaluate')]"
    script += "; sys.exit('torch is imported' if 'torch' in sys.modules else 0)"
    subprocess.run([sys.executable, "-c", script], check=True, cwd=PACKAGE.parent)


def test_an_unknown_task_is_refused_with_the_nearest():
    for find in (plugin.task, plugin.task_settings):
        with pytest.raises(ValueError, match="unknown task 'fintune'; did you mean 'finetune'"):
            find("fintune")


@pytest.mark.parametrize("folder", ["data", "evaluate", "train"])
def test_no_code_names_a_task(folder):
    """A trait of the settings says what a comparison of names would."""
    for path, tree in syntax_trees(folder):
        constants = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
        assert not {name for name in NAMES if name in constants}, path
