"""What saving costs a training, by hand, and what the plan says of it."""

import pytest
from sheets import CONFIG

from simmim.config.sheets import Sheets
from simmim.config.training import TrainSettings
from simmim.jobs import Jobs
from simmim.planning.gpus import machine
from simmim.planning.planner import planned_rows
from simmim.planning.printed import WIDTH
from simmim.planning.printed_saves import saves_text
from simmim.planning.rows import DONE, TO_DO
from simmim.planning.saving import saving


def settings(steps, minutes):
    return TrainSettings(epochs=1, batch=1, base_lr=1, save_every_steps=steps, save_every_minutes=minutes)


def test_the_numbers_of_a_training_by_hand():
    """8 GB at 1 GB/s on 16 GPUs: 2 of the 128 nodes that fail every 7.9 hours, one in 1,820,160 seconds."""
    found = saving(8e9, settings(1000, 60), step_seconds=0.8, steps=50_000, gpus=16)
    assert (found.save_seconds, found.save_every_seconds, found.save_share) == (8.0, 800.0, 0.01)
    assert found.young_daly_seconds == pytest.approx(5_396.5, abs=0.5)  # sqrt(2 x 8 x 1,820,160)
    assert found.ettr == pytest.approx(1 - 0.01 - (400 + 300) / 1_820_160, abs=1e-9)


@pytest.mark.parametrize(
    ("steps", "minutes", "seconds"),
    [(1000, 60, 2000), (1000, 30, 1000), (1000, 15, 2000 / 3), (100_000, 1000, 20_000)],
)
def test_saves_come_every_so_many_steps_and_every_so_many_minutes_between_them(steps, minutes, seconds):
    """Two seconds a step, 10,000 steps: the last is saved anyhow."""
    found = saving(1e9, settings(steps, minutes), step_seconds=2.0, steps=10_000, gpus=8)
    assert found.save_every_seconds == pytest.approx(seconds)


def test_where_least_is_lost_nothing_else_loses_less():
    best = saving(8e9, settings(1, 1e6), 1.0, 1e9, 8).young_daly_seconds
    ettr = [saving(8e9, settings(1, 1e6), best * factor, 1e9, 8).ettr for factor in (0.9, 1.0, 1.1)]
    assert ettr[1] == max(ettr)


def row(share, state=TO_DO, hours=100.0):
    made = {"run": "r", "evaluation": "finetune", "kind": "evaluate", "state": state, "step_seconds": 0.5}
    made |= {"gpu_hours": hours}
    times = {"save_seconds": 10.0, "save_every_seconds": 10.0 / share, "young_daly_seconds": 9000.0}
    return made | times | {"save_share": share, "ettr": 0.98 - share}


def test_more_than_a_hundredth_is_said_with_what_to_change():
    text = " ".join(saves_text([row(0.0101), row(0.0099), row(0.5, DONE)], WIDTH))
    assert "! saving takes 1.0 % of the time of r/finetune (evaluate): raise train.save_every_steps to 18000" in text
    assert "and save_every_minutes to 150." in text
    assert text.count("!") == 1 and "1.01 %" in text and "50.00 %" not in text
    assert not list(saves_text([row(0.5, DONE)], WIDTH))
    assert "!" not in " ".join(saves_text([row(0.5, hours=0.1)], WIDTH)), "three minutes of a GPU in all"


def test_the_rows_of_a_plan_have_it_for_what_trains(tmp_path):
    jobs = Jobs(Sheets(CONFIG), str(tmp_path))
    target = f"{tmp_path}/paper/evaluate/default/finetune.parquet"
    rows = {row["kind"]: row for row in planned_rows(target, jobs, "paper", machine("A100", 0.35, 8))}
    trained = rows["pretrain"]
    assert trained["step_seconds"] == pytest.approx(3600 * trained["gpu_hours"] / 8 / 62_557)
    assert trained["save_seconds"] == pytest.approx(12 * 89_874_104 / 1e9)  # weights and two moments
    assert trained["save_every_seconds"] == pytest.approx(1000 * trained["step_seconds"])
    assert rows["data"]["save_share"] is None and 0.99 < rows["evaluate"]["ettr"] < 1
    assert max(map(len, saves_text(list(rows.values()), WIDTH))) <= WIDTH
