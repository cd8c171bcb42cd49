"""What a terminal shows, and the Parquet file beside it."""

import re

import pyarrow.parquet as pq
import pytest
from sheets import CONFIG, copied, finish_evaluation, finish_training

from simmim.__main__ import main
from simmim.config.sheets import Sheets
from simmim.jobs import Jobs
from simmim.planning.gpus import machine
from simmim.planning.planner import plan
from simmim.planning.printed import WIDTH, text_of
from simmim.planning.rows import CANNOT_BE, DATA, DONE, TO_DO

SHEETS = Sheets(CONFIG)
A100 = machine("A100", 0.35, 8)


@pytest.fixture(scope="module")
def table1(tmp_path_factory):
    """The plan of Table 1 at the paper's scale as text, and its rows."""
    results = tmp_path_factory.mktemp("results")
    text = plan("table1", Jobs(SHEETS, str(results)), "paper", A100, results / "plan.parquet")
    return text, pq.read_table(results / "plan.parquet").to_pylist()


def lines_of(text):
    """Printed rows by their first words, between the two rules."""
    body = text.split("-" * WIDTH)[1].splitlines()
    return [re.split(r"\s{2,}", line.strip()) for line in body if line]


def test_nothing_is_wider_than_a_terminal(table1, tmp_path):
    long = "a_run_with_a_name_that_is_longer_than_its_column | with_steps | "
    sheets = copied(tmp_path / "config", long, "odd | swin_b_100ep | geometry.masked_patch_px=5")
    with (sheets.folder / "scales" / "smoke.yaml").open("a") as scale:
        scale.write(f"runs: [default, odd, vit_b_800ep, {long.split()[0]}]\n")
    results = tmp_path / "a_folder_with_a_long_name" / "results"
    for target in ("everything", f"{results}/smoke/tables/table1.md"):
        text = plan(target, Jobs(sheets, str(results)), "smoke", A100, tmp_path / "plan.parquet")
        assert max(map(len, text.splitlines()[:-1])) <= WIDTH  # the last line is a path
    assert max(map(len, table1[0].splitlines()[:-1])) <= WIDTH


def test_the_parquet_file_holds_what_is_printed(table1):
    text, rows = table1
    assert text.startswith(text_of("table1", "paper", rows, A100))
    printed = lines_of(text)
    assert len(printed) == len(rows)
    row, shown = next((row, shown) for row, shown in zip(rows, printed) if row["kind"] == "pretrain")
    assert shown[0] == row["run"] == "default"
    assert shown[1:] == ["128M", "89.9M", "8.76E", f"{row['gpu_hours']:.1f}", f"{row['memory_bytes'] / 1e9:.1f}", "0.4"]


def test_totals_are_the_sums_of_the_rows(table1):
    text, rows = table1
    hours = sum(row["gpu_hours"] for row in rows if row["kind"] != DATA)
    total = next(line for line in text.splitlines() if line.startswith("to do in all"))
    assert f" {hours:,.1f} " in total
    trainings = sum(row["kind"] == "pretrain" for row in rows)
    assert f"to do: {trainings} pre-trainings" in text
    together = f"{hours / 8 / 24:,.1f} days" if hours / 8 >= 24 else f"{hours / 8:.1f} hours"
    assert f"one job after another: {together}" in " ".join(text.split())


def test_what_is_finished_is_marked_and_not_counted(tmp_path):
    needs = f"{tmp_path}/smoke/evaluate/default/knn.parquet"
    before = plan(needs, Jobs(SHEETS, str(tmp_path)), "smoke", A100, tmp_path / "plan.parquet")
    assert "to do: 1 pre-training\n" in re.sub(r" {2,}.*", "", before)
    jobs = Jobs(SHEETS, str(tmp_path))
    finish_training(jobs, "smoke", "default")
    finish_evaluation(jobs, "smoke", "default", "knn")
    after = plan(needs, Jobs(SHEETS, str(tmp_path)), "smoke", A100, tmp_path / "plan.parquet")
    assert "to do" not in after
    assert [line[0] for line in lines_of(after)] == ["default", "knn"]
    assert all("done" in line for line in lines_of(after))
    assert {row["state"] for row in pq.read_table(tmp_path / "plan.parquet").to_pylist()} == {DONE}


def test_what_cannot_be_is_listed_with_its_reason(tmp_path):
    sheets = copied(tmp_path / "config", "odd | swin_b_100ep | geometry.masked_patch_px=5")
    target = f"{tmp_path}/smoke/pretrain/odd/seed0/train.parquet"
    text = plan(target, Jobs(sheets, str(tmp_path)), "smoke", A100, tmp_path / "plan.parquet")
    assert "Nothing to train" in text
    assert "odd: " in text and "has no counterpart" in " ".join(text.split())
    (row,) = pq.read_table(tmp_path / "plan.parquet").to_pylist()
    assert (row["run"], row["state"], row["images"]) == ("odd", CANNOT_BE, None)


def test_a_reason_that_several_rows_share_is_said_once():
    row = {"kind": "pretrain", "evaluation": "", "state": CANNOT_BE, "reason": "no such data"}
    text = text_of("table1", "paper", [row | {"run": "one"}, row | {"run": "two"}], A100)
    assert text.splitlines()[-1] == "  one, two: no such data"


def test_what_needs_more_memory_than_there_is_is_marked(tmp_path):
    target = f"{tmp_path}/paper/evaluate/default/finetune.parquet"
    small = plan(target, Jobs(SHEETS, str(tmp_path)), "paper", machine("RTX4090", 0.35, 8), tmp_path / "plan.parquet")
    assert "!" not in small
    sheets = copied(tmp_path / "config", "big | swin_b_100ep | train.micro_batch=256")
    target = f"{tmp_path}/paper/pretrain/big/seed0/train.parquet"
    small = plan(target, Jobs(sheets, str(tmp_path)), "paper", machine("RTX4090", 0.35, 8), tmp_path / "plan.parquet")
    assert re.search(r"big .* \d\d\.\d! ", small) and "! more than the 24 GB of one RTX4090" in small


def test_every_column_says_what_it_is(table1, tmp_path):
    plan("table4", Jobs(SHEETS, str(tmp_path)), "paper", A100, tmp_path / "plan.parquet")
    schema = pq.read_schema(tmp_path / "plan.parquet")
    assert all(field.metadata[b"is"] for field in schema)
    assert schema.metadata[b"gpu"] == b'"A100"' and schema.metadata[b"target"] == b'"table4"'
    assert {row["state"] for row in table1[1]} == {TO_DO}


def test_the_command_takes_its_scale_from_the_path_or_the_config(tmp_path, capsys):
    options = ["--config", str(CONFIG), "--results", str(tmp_path)]
    assert main(["plan", f"{tmp_path}/smoke/tables/table4.md", *options]) == 0
    assert "at scale 'smoke'" in " ".join(capsys.readouterr().out.split())
    assert (tmp_path / "smoke" / "plan.parquet").is_file()
    assert main(["plan", "table4", "--gpu", "H100", "--out", str(tmp_path / "own.parquet"), *options]) == 0
    assert "at scale 'paper' on H100: 989 TFLOP/s" in capsys.readouterr().out
    assert (tmp_path / "own.parquet").is_file() and not (tmp_path / "paper").exists()
    assert main(["plan", "tabel4", *options]) == 2
    assert "unknown target 'tabel4'; did you mean 'table4'" in capsys.readouterr().err
