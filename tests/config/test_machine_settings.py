"""What only changes memory or speed is in no hash; everything else still is."""

import shutil

import pytest
from helpers.sheets import CONFIG, append

from simmim.config.component_settings import arguments_of
from simmim.config.machine_settings import MACHINE_SETTINGS
from simmim.config.sheets import Sheets
from simmim.plugin import names

TRAINING = (
    "train.micro_batch=2",
    "train.workers=3",
    "train.sharded=true",
    "train.compile=on",
    "train.save_every_steps=1700",
    "train.save_every_minutes=7",
    "encoder.checkpoint_activations=true",
)


def hashes(folder):
    """Hashes of a run, its fine-tuning and the features its probe reads."""
    sheets = Sheets(folder)
    features = sheets.read_features("paper", "one", "probe")
    fine_tuning, probing = (sheets.evaluation("paper", "one", name) for name in ("finetune", "probe"))
    configs = sheets.pretraining("paper", "one"), fine_tuning, probing, features
    return [config.hash for config in configs], [config.as_json() for config in configs]


def changed(folder, run="", finetune="", probe=""):
    append(folder / "pretrain.tsv", "one", "swin_b_100ep", run)
    append(folder / "evaluate.tsv", "one", "finetune", "finetune_swin_b", finetune)
    append(folder / "evaluate.tsv", "one", "probe", "probe", probe)
    return hashes(folder)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return changed(shutil.copytree(CONFIG, tmp_path_factory.mktemp("plain") / "config"))


def test_no_setting_of_the_machine_changes_a_hash(folder, plain):
    run, evaluation = (*TRAINING, "images.crop_on=device"), (*TRAINING, "settings.score_batch=3")
    found = changed(folder, " ".join(run), " ".join(evaluation), "train.micro_batch=2 settings.score_batch=3")
    assert found == plain
    assert {setting.partition("=")[0].rpartition(".")[2] for setting in (*run, *evaluation)} == MACHINE_SETTINGS
    config = Sheets(folder).evaluation("paper", "one", "finetune")
    assert (config.train.micro_batch, config.settings.score_batch) == (2, 3)  # and yet they are read


@pytest.mark.parametrize(
    ("run", "finetune", "probe", "differ"),
    [
        ("train.batch=1024", "", "", [True] * 4),
        ("", "train.batch=1024", "", [False, True, False, False]),
        ("", "", "settings.score_crop=0.9", [False, False, True, True]),
    ],
)
def test_a_setting_that_changes_numbers_changes_the_hash_of_what_stands_on_it(
    folder, plain, run, finetune, probe, differ
):
    assert [mine != theirs for mine, theirs in zip(changed(folder, run, finetune, probe)[0], plain[0])] == differ


def test_no_component_has_a_setting_that_would_be_left_out_unseen():
    kinds = "masks", "encoders", "heads", "targets", "methods", "tokenizers", "data.sources"
    taken = {key for kind in kinds for name in names(kind) for key in arguments_of(kind, name)}
    assert taken & MACHINE_SETTINGS == {"checkpoint_activations"}
