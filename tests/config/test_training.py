"""Settings of the loop: what follows from them, and which cannot be."""

import pytest
import yaml

from simmim.config.training import TrainSettings

TRAIN = {"epochs": 30, "batch": 8, "base_lr": 1e-3, "log_every_steps": 2, "save_every_steps": 4}


def settings(**changes):
    return TrainSettings(**(TRAIN | changes))


@pytest.mark.parametrize(
    ("samples", "changes", "updates"),
    [
        (24, {"batch": 2048}, "0.35 updates: 24 images x 30 epochs / batch 2048"),
        (24, {"batch": 2048, "repeats": 3}, "0.35 updates: 24 images x 30 epochs / batch 2048"),
        (1, {"epochs": 0.004, "batch": 1}, "0.004 updates: 1 images x 0.004 epochs / batch 1"),
        (64, {"epochs": 1, "batch": 128}, "0.5 updates: 64 images x 1 epochs / batch 128"),  # half rounds to even
        (24, {"batch": 2048, "schedule": "step", "milestones": (0.5,)}, "0.35 updates"),
    ],
)
def test_a_training_without_updates_is_refused(samples, changes, updates):
    for count in (settings(**changes).steps, settings(**changes).first_stage_steps):
        with pytest.raises(ValueError) as refused:
            count(samples)
        message = str(refused.value)
        assert updates in message and "lower train.batch or raise train.epochs" in message and "\n" not in message


@pytest.mark.parametrize(
    ("samples", "changes", "updates"),
    [
        (24, {"epochs": 0}, 0),  # the untrained network is a row of its own
        (35, {"batch": 2048}, 1),  # 0.51
        (24, {"batch": 24}, 30),
        (10, {"epochs": 1, "batch": 4}, 2),
        (14, {"epochs": 1, "batch": 4}, 4),
    ],
)
def test_updates_are_rounded_to_the_nearest(samples, changes, updates):
    assert settings(**changes).steps(samples) == updates


@pytest.mark.parametrize(
    ("epochs", "milestones", "updates"),
    [
        (1, (), 10),
        (1, (0.7,), 6),  # a whole number of log rows
        (1, (0.5, 0.9), 4),
        (1, (0.1,), 0),  # less than a log row: the run itself makes every update
        (0, (0.5,), 0),
    ],
)
def test_the_first_stage_ends_with_a_log_row(epochs, milestones, updates):
    assert settings(epochs=epochs, schedule="step", milestones=milestones).first_stage_steps(80) == updates


def test_rates_scale_with_the_batch():
    assert settings(batch=2048).lr_factor == 4
    assert settings(batch=2048, base_lr_batch=256).lr_factor == 8


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"warmup_epochs": 31}, "warmup_epochs 31.0 must not exceed epochs 30.0"),
        ({"epochs": -1}, "greater than or equal to 0"),
        ({"repeats": 0}, "greater than or equal to 1"),
        ({"schedule": "step", "milestones": (27, 33)}, "shares of the training, .*: 90 of 100 epochs is 0.9"),
        ({"schedule": "step", "milestones": (1.0,)}, "shares of the training"),
        ({"schedule": "step", "milestones": (-1.0,)}, "shares of the training"),
        ({"schedule": "step", "milestones": (0, 0.5)}, "shares of the training"),
        ({"schedule": "step", "milestones": (0.9, 0.5)}, "must rise"),
        ({"schedule": "step", "milestones": (0.9, 0.9)}, "must rise"),
        (
            {"schedule": "step", "milestones": (0.3,), "warmup_epochs": 10},
            "warmup_epochs 10 end after the first milestone, 0.3 of 30 epochs: warm up for 9 epochs",
        ),
        ({"gamma": -3}, "greater than 0"),
        ({"gamma": 0}, "greater than 0"),
        ({"gamma": 1.5}, "less than or equal to 1"),
        ({"betas": (0.9, 1)}, "less than 1"),
        ({"betas": (-0.1, 0.999)}, "greater than or equal to 0"),
    ],
)
def test_impossible_settings_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        settings(**changes)


def test_warm_up_may_last_until_the_first_milestone():
    assert settings(epochs=100, warmup_epochs=29, schedule="step", milestones=(0.29, 0.9)).steps(80) == 1000
    assert settings(epochs=0, warmup_epochs=29, schedule="step", milestones=(0.29, 0.9), gamma=1, betas=(0, 0))


def test_warm_up_may_be_set_where_nothing_is_trained():
    assert settings(epochs=0, warmup_epochs=1).steps(80) == 0


@pytest.mark.parametrize(
    ("written", "meant"), [("compile: on", "on"), ("compile: off", "off"), ("compile: auto", "auto")]
)
def test_on_and_off_are_words_though_yaml_reads_truth_values(written, meant):
    assert settings(**yaml.safe_load(written)).compile == meant
    assert settings(compile=meant).compile == meant


def test_another_word_is_refused():
    with pytest.raises(ValueError, match="'auto', 'on' or 'off'"):
        settings(compile="yes")
