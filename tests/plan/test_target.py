"""What a target needs."""

from pathlib import Path

import pytest
from sheets import CONFIG, copied

from simmim.config.sheets import Sheets
from simmim.plan.target import needed, scale_of
from simmim.report import catalogue
from simmim.report.scale_facts import ResultFile

SHEETS, RESULTS = Sheets(CONFIG), Path("results")


def test_a_table_needs_its_cells_by_name_and_by_file():
    cells = [cell for (table, _, _), cell in SHEETS.paper.items() if table == "table1"]
    needs, misfits = needed("table1", SHEETS, "paper", RESULTS)
    assert set(needs) == {ResultFile("evaluate", cell["run"], cell["evaluation"]) for cell in cells}
    assert not misfits
    for file in ("table1.md", "table1.parquet"):
        assert needed(f"results/paper/tables/{file}", SHEETS, "paper", RESULTS).needs == needs


def test_everything_is_what_the_report_page_needs():
    needs = needed("everything", SHEETS, "paper", RESULTS).needs
    assert needs == needed("results/paper/report.html", SHEETS, "paper", RESULTS).needs
    assert len(set(needs)) == len(needs)
    for table in catalogue.tables(SHEETS, "paper"):
        assert set(catalogue.table_needs(table, SHEETS, "paper")) <= set(needs)


def test_a_row_is_named_by_its_file():
    needs = needed("results/paper/evaluate/default/knn.parquet", SHEETS, "paper", RESULTS).needs
    assert needs == [ResultFile("evaluate", "default", "knn")]
    needs = needed("results/paper/pretrain/default/seed0/encoder.safetensors", SHEETS, "paper", RESULTS).needs
    assert needs == [ResultFile("pretrain", "default")]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("tabel1", "unknown target 'tabel1'; did you mean 'table1'"),
        ("results/paper/tables/tabel4.md", "unknown target 'tabel4'; did you mean 'table4'"),
        ("results/paper/evaluate/defualt/knn.parquet", "unknown evaluation 'defualt/knn'; did you mean 'default/knn'"),
        ("results/paper/pretrain/defualt/seed0/train.parquet", "unknown run 'defualt'; did you mean 'default'"),
        ("results/paper/default.md", "'default.md' is no result of a training"),
        ("results/papre/tables/table1.md", "unknown scale 'papre'; did you mean 'paper'"),
    ],
)
def test_an_unknown_target_is_refused_with_the_nearest(target, message):
    with pytest.raises(ValueError, match=message):
        needed(target, SHEETS, scale_of(target, RESULTS) or "paper", RESULTS)


def test_the_scale_is_in_the_path():
    assert scale_of("results/demo/report.html", RESULTS) == "demo"
    assert scale_of("/data/results/demo/report.html", Path("/data/results")) == "demo"
    assert scale_of("table1", RESULTS) is scale_of("results", RESULTS) is None


def test_what_cannot_be_is_named_once_with_the_reason(tmp_path):
    sheets = copied(
        tmp_path / "config", "odd | swin_b_100ep | geometry.masked_patch_px=5", "evaluate odd | knn | knn | "
    )
    misfits = needed("everything", sheets, "smoke", RESULTS).misfits
    assert "masked_patch_px of 5 px" in misfits["odd"]
    assert "odd/knn" not in misfits
    for target in ("results/smoke/evaluate/odd/knn.parquet", "results/smoke/pretrain/odd/seed0/train.parquet"):
        found = needed(target, sheets, "smoke", RESULTS)
        assert not found.needs and "5 px" in next(iter(found.misfits.values()))


def test_cells_that_a_scale_does_not_run_are_named(tmp_path):
    sheets = copied(tmp_path / "config")
    scale = tmp_path / "config" / "scales" / "smoke.yaml"
    scale.write_text(scale.read_text() + "runs: [default]\nwithout: [knn]\n")
    needs, misfits = needed("table4", sheets, "smoke", RESULTS)
    assert needs == [ResultFile("evaluate", "default", "finetune")]
    assert misfits == {"loss_full": "not among the runs of this scale"}


def test_a_published_cell_may_have_no_run(tmp_path):
    sheets = copied(tmp_path / "config")
    sheets.paper["table4", "another method", "top-1 (%)"] = {"run": "", "evaluation": "", "metric": "", "value": "80.0"}
    assert not needed("table4", sheets, "paper", RESULTS).misfits
