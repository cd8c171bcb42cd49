"""An evaluation that starts from a fine-tuning brings it along, and a fine-tuning is not repeated for nothing."""

from sheets import CONFIG, finish_evaluation, finish_training, leave_encoders

from simmim.config.sheets import Sheets
from simmim.plan.jobs import jobs_of
from simmim.report.scale_facts import ResultFile

SHEETS = Sheets(CONFIG)
TRAINING, FINETUNE, SEGMENT, DETECT = (
    SHEETS.pretraining("smoke", "default"),
    *(SHEETS.evaluation("smoke", "default", name) for name in ("finetune", "segment", "detect")),
)


def to_do(results, *evaluations):
    """Seeds to do by job, for evaluations of the default run."""
    needs = [ResultFile("evaluate", "default", name) for name in evaluations]
    return {job.name: job.seeds_to_do for job in jobs_of(needs, SHEETS, "smoke", results)}


def test_what_it_starts_from_comes_first(tmp_path):
    assert list(to_do(tmp_path, "segment").items()) == [("default", 1), ("default/finetune", 3), ("default/segment", 1)]
    assert list(to_do(tmp_path, "segment", "detect", "finetune")) == [
        "default", "default/finetune", "default/segment", "default/detect"
    ]  # fmt: skip


def test_encoders_that_are_there_are_used(tmp_path):
    finish_evaluation(tmp_path, FINETUNE)
    leave_encoders(tmp_path, FINETUNE)
    assert to_do(tmp_path, "segment") == {"default/finetune": 0, "default/segment": 1}, "not even the pre-trained one"
    finish_evaluation(tmp_path, FINETUNE | {"config_hash": "of another day"})
    assert to_do(tmp_path, "segment") == {"default": 1, "default/finetune": 3, "default/segment": 1}


def test_lost_encoders_are_trained_again_only_for_what_starts_there(tmp_path):
    finish_training(tmp_path, TRAINING)
    finish_evaluation(tmp_path, FINETUNE)
    assert to_do(tmp_path, "finetune") == {"default": 0, "default/finetune": 0}
    assert to_do(tmp_path, "finetune", "segment") == {"default": 0, "default/finetune": 3, "default/segment": 1}
    finish_evaluation(tmp_path, SEGMENT)
    assert set(to_do(tmp_path, "finetune", "segment").values()) == {0}


def test_what_starts_from_a_repeated_fine_tuning_is_repeated(tmp_path):
    finish_training(tmp_path, TRAINING)
    leave_encoders(tmp_path, FINETUNE)
    for config in (SEGMENT, DETECT):
        finish_evaluation(tmp_path, config)
    asked = to_do(tmp_path, "finetune", "segment", "detect")
    assert asked == {"default": 0, "default/finetune": 3, "default/segment": 1, "default/detect": 0}
