"""The table of what other implementations do otherwise."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from helpers.sheets import folder as sheets_folder
from helpers.sheets import let_in
from made_up import FACTS, write_evaluation

from simmim.config.sheets import Sheets
from simmim.report import catalogue
from simmim.report.scale_facts import Evaluated, ResultFile
from simmim.report.tables.done_right import DIFFERENCES
from simmim.report.write import make_table

__all__ = ["sheets_folder"]
CONFIG = Path(__file__).parents[2] / "config"
NEW = "mask_r8_r75, lr_x20, lr_paper_rule"
MASKED = {("default", "probe_masked"): Evaluated("linear_probe", "classify")}


def made(root, **values):
    """`run__evaluation` to its scores; `loss_full` and `probe_masked` are of the table."""
    keys = {name: name.split("__") for name in values}
    paths = [write_evaluation(root, *keys[name], {("top1", ""): each}) for name, each in values.items()]
    return make_table("done_right", paths, dataclasses.replace(FACTS, evaluated=FACTS.evaluated | MASKED)).rows


def line(rows, what, by="linear probe, top-1 (%)"):
    (found,) = [row for row in rows if row["done otherwise"].startswith(what) and row["measured here by"] in (by, "–")]
    return found


def test_a_line_is_what_is_done_otherwise_minus_the_reference_run(tmp_path):
    probes = {"default__probe": [30, 31, 32], "default__probe_masked": [20, 22, 24], "loss_full__probe": [30, 31, 33]}
    rows = made(tmp_path, **probes)
    masked = line(rows, "probe trained on masked images")
    assert (masked["otherwise"], masked["reference"]) == ("22.0 ± 2.0", "31.0 ± 1.0")
    assert (masked["difference"], masked["n"], masked["verdict"]) == ("−9.0 [−11.5, −6.5]", "3 pairs", "worse")
    assert line(rows, "loss on all pixels")["verdict"] == "undecided"
    assert {(each["run"], each["evaluation"]) for each in masked["records"]} == {
        ("default", "probe_masked"),
        ("default", "probe"),
    }


def test_what_was_not_run_says_so_and_what_cannot_be_why(tmp_path):
    rows = made(tmp_path, default__probe=[30, 31, 32])
    assert len(rows) == 12, "two evaluations of five runs, one of the reference run, and one that there is not"
    unrun = line(rows, "the paper's rate, scaled")
    assert (unrun["otherwise"], unrun["difference"], unrun["verdict"]) == ("not run", "–", "not run")
    assert unrun["status"] == "not run" and unrun["reference"] == "31.0 ± 1.0"
    token = line(rows, "probe on the class token")
    assert token["verdict"] == "–" and token["status"].endswith("Swin, has no class token")


def test_with_one_pretraining_nothing_is_decided(tmp_path):
    rows = made(tmp_path, default__finetune=[60, 61, 62], loss_full__finetune=[40])
    row = line(rows, "loss on all pixels", "fine-tuning, top-1 (%)")
    assert (row["n"], row["verdict"]) == ("1 and 3", "undecided (one pre-training)")


def test_only_a_scale_that_has_more_than_the_paper_s_ablations_has_it(sheets_folder):
    before = Sheets(CONFIG)
    for scale in {*before.scales()} - {"small"}:
        assert "done_right" not in catalogue.tables(before, scale), scale
        assert not {"mask_r8_r75", "lr_x20", "lr_paper_rule", "default_x100"} & {*before.runs(scale)}
    let_in(sheets_folder, f"default, mask_r8_r60, loss_full, {NEW}")
    needs = catalogue.table_needs("done_right", Sheets(sheets_folder), "small")
    runs = {each.run for each in DIFFERENCES if each.run} | {"default"}
    pairs = {ResultFile("evaluate", run, evaluation) for run in runs for evaluation in ("finetune", "probe")}
    assert {*needs} == pairs | {ResultFile("evaluate", "default", "probe_masked")}
