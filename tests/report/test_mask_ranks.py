"""Rank correlations of masks: by hand, over the masks that were measured, and what is said of too few."""

from __future__ import annotations

import dataclasses

import pytest
from made_up import FACTS, cell, origin, write_evaluation

from simmim.report.scale_facts import Evaluated
from simmim.report.statistics import rank_correlation
from simmim.report.write import make_table
from simmim.storage.records import record, write

# Run: published top-1 and AvgDist, ours. Ours have the paper's order; the ridge is at 10 to 20 px.
MASKS = {
    "m5": (82.0, 5.0, 60.0),
    "m8": (82.4, 8.0, 61.0),
    "m12": (82.8, 12.0, 63.0),
    "m15": (82.9, 15.0, 64.0),
    "m30": (82.6, 30.0, 62.0),
    "m90": (81.5, 90.0, 59.0),
}
FITTING = dataclasses.replace(
    FACTS,
    trained=tuple(MASKS),
    fitting_masks=dict.fromkeys(MASKS, 8),
    pretrainings=dict.fromkeys(MASKS, 3),
    evaluated={(run, "finetune"): Evaluated("finetune", "classify") for run in MASKS},
    paper={("table1", run, "top-1 (%)"): cell(run, str(top1)) for run, (top1, _, _) in MASKS.items()}
    | {("figure3a", run, "ratio"): cell(run, str(at), "pretrain", "avg_dist") for run, (_, at, _) in MASKS.items()},
)


def files(root, runs=MASKS):
    avg_dist = root / "avg_dist.parquet"
    write(avg_dist, [record(origin(run, "pretrain", 0), 0, "avg_dist", MASKS[run][1] / 3) for run in runs])
    scores = [write_evaluation(root, run, "finetune", {("top1", ""): [MASKS[run][2]] * 3}) for run in runs]
    return [avg_dist, *scores]


def test_a_rank_correlation_by_hand():
    first = list(range(10))
    found = rank_correlation(first, [1, 0, 3, 2, 5, 4, 7, 6, 9, 8])  # 1 - 6 x 10 / (10 x 99)
    assert found.rho == pytest.approx(1 - 60 / 990)
    # z is 1.734, and 1.96 x sqrt((1 + 0.939^2 / 2) / 7) is 0.889.
    assert found.interval == (pytest.approx(0.688, abs=1e-3), pytest.approx(0.9895, abs=1e-3))
    assert rank_correlation(first, first[::-1]) == (-1, None), "a point would say that no order could be another"
    assert rank_correlation(first[:4], first[:4]) is None, "four"
    assert rank_correlation(first, [1] * 10) is None


def test_orders_are_compared_over_the_masks_that_were_measured(tmp_path):
    table = make_table("mask_ranks", files(tmp_path), FITTING)
    said = {(row["order"], row["against"]): row["rank correlation"] for row in table.rows}
    assert said["our top-1 (%)", "the paper's top-1 (%)"] == "+1.00"
    assert said["our AvgDist", "the paper's AvgDist"] == "+1.00"
    assert said["our top-1 (%)", "our AvgDist"].startswith("−0.03 [")  # 1 - 6 x 36 / 210
    assert said["our top-1 (%)", "nearness of the paper's AvgDist to its ridge"].startswith(
        "+0.93 ["
    )  # two of six are on it
    assert {row["masks"] for row in table.rows} == {"6"}
    assert {row["status"] for row in table.rows} == {"measured at made-up scale, 3 or more pre-trainings a mask"}
    assert {each["run"] for each in table.rows[0]["records"]} == {*MASKS}


def test_too_few_masks_have_no_order(tmp_path):
    table = make_table("mask_ranks", files(tmp_path, [*MASKS][:4]), FITTING)
    assert {row["rank correlation"] for row in table.rows} == {"none: fewer than 5 masks, or all alike"}
    assert {row["status"] for row in table.rows} == {"not run"} and not table.rows[0]["records"]
