"""Which pre-training stands behind a record, so that seeds of its evaluations are averaged and never counted."""

from __future__ import annotations

import dataclasses

import pytest
from made_up import FACTS, origin

from simmim.report.measurements import measurement
from simmim.report.results import Results
from simmim.report.write import make_table
from simmim.storage.records import record, write


def frame_of(tmp_path, seeds: dict[int, tuple[str, float]], pretrainings: int, evaluation: str = "finetune"):
    """Records of seed -> (encoder digest, top-1), and the facts of a run with so many pre-trainings."""
    facts = dataclasses.replace(FACTS, pretrainings={"default": pretrainings})
    rows = [
        record(dataclasses.replace(origin("default", evaluation, seed), encoder_digest=digest), 1, "top1", value)
        for seed, (digest, value) in seeds.items()
    ]
    write(tmp_path / "finetune.parquet", rows)
    return Results([tmp_path / "finetune.parquet"], facts).records


@pytest.mark.parametrize(
    ("digests", "pretrainings", "expected"),
    [
        ("aaa", 1, [0, 0, 0]),  # three fine-tunings of one pre-training
        ("abc", 3, [0, 1, 2]),
        ("ababa", 2, [0, 1, 0, 1, 0]),
        ("aaa", 3, [0, 0, 0]),  # the record knows better than a sheet that was changed since
        ("abc", 1, [0, 0, 0]),  # encoders that three fine-tunings of one pre-training have left
        ("abcdabcd", 2, [0, 1, 0, 1, 0, 1, 0, 1]),  # four fine-tunings of two
        ("    ", 2, [0, 1, 0, 1]),  # records that keep no digest
    ],
)
def test_a_record_leads_to_its_pretraining(tmp_path, digests, pretrainings, expected):
    seeds = {seed: (digest.strip(), 50.0) for seed, digest in enumerate(digests)}
    assert frame_of(tmp_path, seeds, pretrainings)["pretraining"].tolist() == expected


def test_a_run_of_no_sheet_counts_as_one(tmp_path):
    write(tmp_path / "x.parquet", [record(origin("stranger", "finetune", seed), 1, "top1", 1.0) for seed in (0, 1)])
    assert Results([tmp_path / "x.parquet"], FACTS).records["pretraining"].tolist() == [0, 0]


def test_evaluations_of_one_pretraining_are_averaged(tmp_path):
    seeds = {seed: ("ab"[seed % 2], value) for seed, value in enumerate([50.0, 60.0, 52.0, 64.0, 54.0])}
    found = measurement(frame_of(tmp_path, seeds, 2), "default", "finetune", "top1")
    assert (found.values, found.n, found.count) == ([52.0, 62.0], 2, "2 (5 seeds)")
    assert (found.mean, found.text) == (57.0, "52.0, 62.0")


def test_three_finetunings_of_one_pretraining_decide_nothing(tmp_path):
    """However far apart the runs are: another pre-training might be elsewhere."""
    facts = dataclasses.replace(FACTS, pretrainings={"default": 1, "loss_full": 1, "random_swin": 1})
    rows = [
        record(origin(run, "finetune", seed), 1, "top1", level + 0.1 * seed)
        for run, level in (("default", 60), ("loss_full", 70), ("random_swin", 50))
        for seed in range(3)
    ]
    write(tmp_path / "finetune.parquet", rows)
    tables = {name: make_table(name, [tmp_path / "finetune.parquet"], facts).rows for name in ("claims", "scratch")}
    row = next(row for row in tables["claims"] if row["claim"] == "loss_full is better than default")
    assert (row["verdict"], row["n"], row["ours"]) == ("undecided (one pre-training)", "1 and 1", "+10.0")
    assert row["first"] == "loss_full: 70.1"
    assert {row["verdict"] for row in tables["scratch"]} == {"undecided (one pre-training)"}
    (row,) = [
        row for row in make_table("table4", [tmp_path / "finetune.parquet"], facts).rows if row["row"] == "full image"
    ]
    assert (row["n"], row["ours"], row["mean"]) == ("1 (3 seeds)", "70.1", None)
    assert row["status"] == "measured at made-up scale, one pre-training"
    assert row["direction"] == "points the other way (one pre-training)"
