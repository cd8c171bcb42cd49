"""The table and the figure of runs that differ in their length alone: passes, costs, slopes, and what is missing."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from helpers.sheets import folder as sheets_folder
from helpers.sheets import let_in
from made_up import FACTS, origin, write_evaluation

from simmim.config.sheets import Sheets
from simmim.report import catalogue
from simmim.report.drawing import read_drawing
from simmim.report.figures import image_passes
from simmim.report.image_passes import passes_text
from simmim.report.results import Results
from simmim.report.scale_facts import Evaluated, ResultFile
from simmim.report.statistics import slope_of
from simmim.report.write import make_table, write_figure
from simmim.storage.records import record, write

__all__ = ["sheets_folder"]
CONFIG = Path(__file__).parents[2] / "config"
STEPS = {"default": 100, "long": 1000, "longest": 10_000}
RUNS = (*STEPS, "random_swin")
LENGTHS = dataclasses.replace(
    FACTS,
    trained=tuple(STEPS),
    lengths=dict.fromkeys(STEPS, 10),
    pretrainings=dict.fromkeys(RUNS, 3),
    baselines=dict.fromkeys(STEPS, "random_swin"),
    evaluated={(run, "finetune"): Evaluated("finetune", "classify") for run in RUNS},
)


def training(root, run, seed):
    """An hour for the shortest, ten times as long for ten times as many updates; the later seeds beside other jobs."""
    rows = [record(origin(run, "pretrain", seed), STEPS[run], "train_seconds", 36.0 * STEPS[run] * (1 + seed))]
    path = root / "pretrain" / run / f"seed{seed}" / "train.parquet"
    write(path, rows)
    return path


def files(root, runs=RUNS):
    """Two points per tenfold length, from 60, and 50 from scratch; each run +- 1 over its pre-trainings."""
    scores = {"default": 60.0, "long": 62.0, "longest": 64.0, "random_swin": 50.0}
    found = [
        write_evaluation(root, run, "finetune", {("top1", ""): [scores[run] + each for each in (-1, 0, 1)]})
        for run in runs
    ]
    return found + [training(root, run, seed) for run in runs if run in STEPS for seed in range(3)]


def test_a_slope_is_that_of_a_straight_line_with_its_interval():
    assert slope_of([1, 1, 2], [3, 4, 5]) is None, "two lengths"
    exact = slope_of([1, 2, 3], [1.0, 3.0, 5.0])
    assert (exact.slope, exact.intercept, exact.n) == (pytest.approx(2), pytest.approx(-1), 3)
    assert exact.low == pytest.approx(2) and exact.high == pytest.approx(2)
    rough = slope_of([0, 1, 2, 3], [0.0, 1.0, 1.0, 2.0])  # by hand: s^2 = 0.1, sum of squares of x 5, t(2) = 4.303
    assert rough.slope == pytest.approx(0.6)
    assert rough.high - rough.slope == pytest.approx(4.303 * (0.1 / 5) ** 0.5, rel=1e-3)


def test_a_line_has_its_passes_its_cost_and_what_it_gains_over_training_from_scratch(tmp_path):
    table = make_table("image_passes", files(tmp_path), LENGTHS)
    assert [row["run"] for row in table.rows] == list(STEPS), "the shortest first"
    row = table.rows[1]
    assert (row["image passes"], row["hours of pre-training"]) == ("0.01 M", "10")
    assert table.rows[2]["hours of pre-training"] == "100"
    assert "Hours: of all devices together" in table.caption, "as `train_seconds` are"
    assert (row["pre-trained"], row["from scratch"]) == ("62.0 ± 1.0", "50.0 ± 1.0")
    assert (row["difference"], row["n"], row["verdict"]) == ("+12.0 [+12.0, +12.0]", "3 pairs", "better")
    assert "fine-tuning +2.0 [+1.1, +2.9] per tenfold length (n = 9)" in table.caption
    assert {(each["run"], each["metric"]) for each in row["records"]} == {
        ("long", "top1"),
        ("random_swin", "top1"),
        ("long", "train_seconds"),
    }


def test_what_was_not_run_says_so_and_two_lengths_have_no_slope(tmp_path):
    table = make_table("image_passes", files(tmp_path, ("default", "long")), LENGTHS)
    row = table.rows[2]
    assert row["run"] == "longest" and row["status"] == "not run"
    assert {row[name] for name in ("image passes", "hours of pre-training", "pre-trained", "verdict")} == {"not run"}
    assert (table.rows[0]["from scratch"], table.rows[0]["verdict"]) == ("not run", "not run")
    assert "no slope: fewer than 3 lengths were measured" in table.caption


def test_the_figure_has_a_dot_per_pretraining_on_a_logarithmic_axis_and_a_line(tmp_path):
    figure, caption = image_passes.make(Results(files(tmp_path), LENGTHS), LENGTHS)
    axis = figure.axes[0]
    assert axis.get_xscale() == "log"
    assert [label.get_text() for label in axis.get_xticklabels()] == ["0.001 M", "0.01 M", "0.1 M"]
    assert not len(axis.get_xticks(minor=True))
    drawn = [line for line in axis.lines if line.get_linestyle() == "None" and len(line.get_xdata()) == 3]
    assert [set(line.get_xdata()) for line in drawn] == [{1000}, {10_000}, {100_000}]
    assert [sorted(line.get_ydata()) for line in drawn] == [[59, 60, 61], [61, 62, 63], [63, 64, 65]]
    (line,) = [line for line in axis.lines if line.get_linestyle() == "-"]
    assert list(line.get_ydata()) == pytest.approx([60, 64])
    assert [line.get_ydata()[0] for line in axis.lines if line.get_linestyle() == "--"] == [50], "the mean"
    (band,) = axis.patches
    assert (band.get_y(), band.get_height()) == (49, 2)
    assert [text.get_text() for text in axis.texts] == ["from scratch"]
    assert "of all devices together: 0.001 M 1 h, 0.01 M 10 h, 0.1 M 100 h" in caption
    plt.close(figure)


def test_few_encoders_from_scratch_are_a_line_each_without_a_band(tmp_path):
    rest = [path for path in files(tmp_path) if "random_swin" not in str(path)]
    few = write_evaluation(tmp_path, "random_swin", "finetune", {("top1", ""): [49.0, 51.0]})
    figure, _ = image_passes.make(Results([*rest, few], LENGTHS), LENGTHS)
    (axis,) = figure.axes
    assert [line.get_ydata()[0] for line in axis.lines if line.get_linestyle() == "--"] == [49, 51]
    assert not axis.patches and [text.get_text() for text in axis.texts] == ["from scratch"]
    plt.close(figure)


def test_a_figure_without_results_says_so(tmp_path):
    alone = files(tmp_path, ("random_swin",))
    write_figure("image_passes", alone, tmp_path / "x", LENGTHS)
    assert read_drawing(tmp_path / "x.png").caption.startswith(
        "Made-up scale: made-up tiles. No run was both pre-trained and evaluated"
    )


def test_numbers_of_passes_are_short():
    passes = (179_968, 1_799_936, 18_000_000, 128_000_000, 1_281_167_000)
    assert [passes_text(each) for each in passes] == ["0.18 M", "1.8 M", "18 M", "130 M", "1300 M"]


def test_only_a_scale_with_three_lengths_has_it(sheets_folder):
    before = Sheets(CONFIG)
    for scale in {*before.scales()} - {"small"}:
        assert "image_passes" not in [*catalogue.tables(before, scale), *catalogue.figures(before, scale)], scale
    let_in(sheets_folder, "default, default_x10, default_x100, random_swin")
    sheets = Sheets(sheets_folder)
    assert catalogue.facts(sheets, "small").lengths == dict.fromkeys(["default", "default_x10", "default_x100"], 128)
    needs = catalogue.table_needs("image_passes", sheets, "small")
    assert needs == catalogue.figure_needs("image_passes", sheets, "small")
    wanted = [ResultFile("pretrain", "default_x100"), ResultFile("evaluate", "random_swin", "finetune_all")]
    assert {*wanted, ResultFile("evaluate", "default_x100", "probe")} <= {*needs}
