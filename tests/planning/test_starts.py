"""An evaluation that starts from a fine-tuning brings it along, and a fine-tuning is not repeated for nothing."""

import pytest
from sheets import CONFIG, evaluations, finish_data, finish_evaluation, finish_training, leave_encoders

from simmim.config.sheets import Sheets
from simmim.jobs import Jobs
from simmim.planning.jobs import groups_of

SHEETS = Sheets(CONFIG)
DEFAULT = "smoke", "default"


@pytest.fixture
def jobs(tmp_path):
    """The project's jobs, of which only the data of the smallest scale are made."""
    return finish_data(Jobs(SHEETS, str(tmp_path)), "smoke")


def to_do(jobs, *names):
    """Seeds to do by group, for evaluations of the default run."""
    return {group.name: group.seeds_to_do for group in groups_of(evaluations(jobs, *DEFAULT, *names), jobs)}


def test_what_it_starts_from_comes_first(jobs):
    assert list(to_do(jobs, "segment").items()) == [("default", 1), ("default/finetune", 3), ("default/segment", 1)]
    assert list(to_do(jobs, "segment", "detect", "finetune")) == [
        "default",
        "default/finetune",
        "default/segment",
        "default/detect",
    ]


def test_encoders_that_are_there_are_used(jobs):
    finish_evaluation(jobs, *DEFAULT, "finetune")
    leave_encoders(jobs, *DEFAULT, "finetune")
    assert to_do(jobs, "segment") == {"default/finetune": 0, "default/segment": 1}, "not even the pre-trained one"
    finish_evaluation(jobs, *DEFAULT, "finetune", seeds=7)
    assert to_do(jobs, "segment") == {"default": 1, "default/finetune": 3, "default/segment": 1}


def test_lost_encoders_are_trained_again_only_for_what_starts_there(jobs):
    finish_training(jobs, *DEFAULT)
    finish_evaluation(jobs, *DEFAULT, "finetune")
    assert to_do(jobs, "finetune") == {"default": 0, "default/finetune": 0}
    assert to_do(jobs, "finetune", "segment") == {"default": 0, "default/finetune": 3, "default/segment": 1}
    finish_evaluation(jobs, *DEFAULT, "segment")
    assert set(to_do(jobs, "finetune", "segment").values()) == {0}


def test_what_starts_from_a_repeated_fine_tuning_is_repeated(jobs):
    finish_training(jobs, *DEFAULT)
    leave_encoders(jobs, *DEFAULT, "finetune")
    for name in ("segment", "detect"):
        finish_evaluation(jobs, *DEFAULT, name)
    asked = to_do(jobs, "finetune", "segment", "detect")
    assert asked == {"default": 0, "default/finetune": 3, "default/segment": 1, "default/detect": 0}
