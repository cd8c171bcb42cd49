"""What a table may claim: a mean from three pre-trainings on, the last step, one scale."""

from __future__ import annotations

import pytest
from made_up import FACTS, origin, write_evaluation

from simmim.report.measurements import fastest, interval_text, measurement, number, signed
from simmim.report.results import Results
from simmim.storage.records import record, write


def read(paths):
    return Results(paths, FACTS).records


def measured(tmp_path, values, run="default", metric="top1"):
    return measurement(
        read([write_evaluation(tmp_path, run, "finetune", {(metric, ""): values})]), run, "finetune", metric
    )


def test_three_pretrainings_make_a_mean_with_its_spread(tmp_path):
    found = measured(tmp_path, [50.0, 51.0, 55.0])
    assert found.claims_mean
    assert found.text == "52.0 ± 2.6"
    assert found.differences(82.8) == "−30.8"


def test_two_pretrainings_are_listed_and_no_mean_is_claimed(tmp_path):
    found = measured(tmp_path, [50.0, 54.0])
    assert not found.claims_mean
    assert found.text == "50.0, 54.0"
    assert "52" not in found.text
    assert found.differences(52.0) == "−2.0, +2.0"


def test_seeds_of_different_configs_have_no_mean(tmp_path):
    rows = [record(origin("default", "finetune", seed), 1, "top1", 50 + seed) for seed in range(3)]
    rows[2]["config_hash"] = "another"
    write(tmp_path / "mixed.parquet", rows)
    found = measurement(read([tmp_path / "mixed.parquet"]), "default", "finetune", "top1")
    assert found.is_mixed
    assert not found.claims_mean
    assert fastest(found) is found, "nor a fastest, which would hide it"


def test_a_value_that_is_not_finite_is_shown_and_takes_no_part_in_a_mean(tmp_path):
    """Nor does the mean over the seeds of its pre-training leave it out: the fourth starts from the first again."""
    found = measured(tmp_path, [50.0, 51.0, 52.0, float("nan")])
    assert not found.claims_mean
    assert found.text == "nan, 51.0, 52.0"


def test_the_last_step_of_each_seed_counts(tmp_path):
    rows = [record(origin("default", "finetune", 0), step, "top1", value) for step, value in ((10, 90.0), (20, 40.0))]
    write(tmp_path / "steps.parquet", rows)
    assert measurement(read([tmp_path / "steps.parquet"]), "default", "finetune", "top1").values == [40.0]


def test_two_values_of_one_seed_are_refused(tmp_path):
    paths = [write_evaluation(tmp_path / folder, "default", "finetune", {("top1", ""): [50.0]}) for folder in "ab"]
    with pytest.raises(ValueError, match="two values of top1 for run 'default'"):
        measurement(read(paths), "default", "finetune", "top1")


def test_numbers_of_another_scale_are_refused(tmp_path):
    path = write_evaluation(tmp_path, "default", "finetune", {("top1", ""): [50.0]}, scale="other")
    with pytest.raises(ValueError, match="holds results of scale 'other' in a report of scale 'made-up'"):
        read([path])


def test_a_probe_counts_with_its_chosen_block(tmp_path):
    values = {("top1", "block 1"): [90.0], ("top1", "chosen"): [40.0]}
    frame = read([write_evaluation(tmp_path, "default", "probe", values)])
    assert measurement(frame, "default", "probe", "top1").values == [40.0]
    assert measurement(frame, "default", "probe", "top1", "block 1").values == [90.0]
    assert measurement(frame, "default", "probe", "top5") is None


def test_signs():
    assert number(-0.04, 1) == "0.0"
    assert signed(-0.04, 1) == "0.0"
    assert signed(0.26, 1) == "+0.3"
    assert signed(-1.26, 1) == "−1.3"
    assert interval_text((-0.26, 1.26), 1) == "[−0.3, +1.3]"


def test_a_bound_that_rounds_to_0_shows_on_which_side_of_it_it_lies():
    """`[0.0, +0.9]` may or may not hold 0, and a verdict hangs on that."""
    assert interval_text((0.03, 0.92), 1) == "[+0.0, +0.9]"
    assert interval_text((-0.03, 0.92), 1) == "[−0.0, +0.9]"
    assert interval_text((0.0, -0.0), 1) == "[0.0, 0.0]"


def test_a_searched_evaluation_has_the_name_of_the_first():
    assert FACTS.evaluation_label("probe probe_lr3e4") == FACTS.evaluation_label("probe") == "linear probe"
    assert FACTS.evaluation_label("probe_after") == "probe after"
