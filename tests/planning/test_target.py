"""What a target needs."""

import pytest
from sheets import CONFIG, copied

from simmim.config.rows import PaperRow
from simmim.config.sheets import Sheets
from simmim.jobs import Jobs
from simmim.planning.target import needed, scale_of

SHEETS = Sheets(CONFIG)
JOBS = Jobs(SHEETS, "results")


def evaluated(run, evaluation, scale="paper"):
    return f"results/{scale}/evaluate/{run}/{evaluation}.parquet"


def test_a_table_needs_its_cells_by_name_and_by_file():
    cells = [cell for (table, _, _), cell in SHEETS.paper.items() if table == "table1"]
    files, misfits = needed("table1", JOBS, "paper")
    assert set(files) == {evaluated(cell.run, cell.evaluation) for cell in cells}
    assert not misfits
    for file in ("table1.md", "table1.parquet"):
        assert needed(f"results/paper/tables/{file}", JOBS, "paper").files == files


def test_a_figure_needs_its_pictures_by_name_and_by_file():
    files = needed("figure4", JOBS, "paper").files
    assert files == ["results/paper/pretrain/default/seed0/reconstruction.parquet"]
    assert needed("results/paper/figures/figure4.png", JOBS, "paper").files == files


def test_everything_is_what_the_report_page_needs():
    files = needed("everything", JOBS, "paper").files
    assert files == needed("results/paper/report.html", JOBS, "paper").files
    assert len(set(files)) == len(files)
    page = JOBS.job("page", scale="paper")
    assert len(page.inputs["tables"]) > 10 and len(page.inputs["figures"]) > 5
    for file in page.inputs["tables"] + page.inputs["figures"]:
        assert set(JOBS.maker(file).inputs["results"]) <= set(files)


def test_a_row_is_named_by_its_file():
    for file in (evaluated("default", "knn"), "results/paper/pretrain/default/seed0/encoder.safetensors"):
        assert needed(file, JOBS, "paper").files == [file]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("tabel1", "unknown target 'tabel1'; did you mean 'table1'"),
        ("results/paper/tables/tabel4.md", "unknown target 'tabel4'; did you mean 'table4'"),
        ("results/paper/evaluate/defualt/knn.parquet", "unknown evaluation 'defualt/knn'; did you mean 'default/knn'"),
        ("results/paper/pretrain/defualt/seed0/train.parquet", "unknown run 'defualt'; did you mean 'default'"),
        ("results/paper/default.md", "'default.md' is no result of a job"),
        ("results/papre/tables/table1.md", "unknown scale 'papre'; did you mean 'paper'"),
        ("results/papre/evaluate/default/knn.parquet", "unknown scale 'papre'; did you mean 'paper'"),
    ],
)
def test_an_unknown_target_is_refused_with_the_nearest(target, message):
    with pytest.raises(ValueError, match=message):
        needed(target, JOBS, scale_of(target, JOBS) or "paper")


def test_a_file_of_another_scale_is_refused():
    with pytest.raises(ValueError, match="is a file of scale 'demo', not of 'paper'"):
        needed("results/demo/report.html", JOBS, "paper")


def test_the_scale_is_in_the_path():
    assert scale_of("results/demo/report.html", JOBS) == "demo"
    assert scale_of("/data/results/demo/report.html", Jobs(SHEETS, "/data/results")) == "demo"
    assert scale_of("table1", JOBS) is scale_of("results", JOBS) is None


def test_what_does_not_fit_is_named_once_with_the_reason(tmp_path):
    sheets = copied(
        tmp_path / "config", "odd | swin_b_100ep | geometry.masked_patch_px=5", "evaluate odd | knn | knn | "
    )
    jobs = Jobs(sheets, "results")
    misfits = needed("everything", jobs, "smoke").misfits
    assert "masked_patch_px of 5 px" in misfits["odd"]
    assert "odd/knn" not in misfits
    for target in (evaluated("odd", "knn", "smoke"), "results/smoke/pretrain/odd/seed0/train.parquet"):
        found = needed(target, jobs, "smoke")
        assert not found.files and "5 px" in next(iter(found.misfits.values()))
    assert list(needed(evaluated("odd", "knn", "smoke"), jobs, "smoke").misfits) == ["odd/knn"]


def test_cells_that_a_scale_does_not_run_are_named(tmp_path):
    sheets = copied(tmp_path / "config")
    scale = tmp_path / "config" / "scales" / "smoke.yaml"
    scale.write_text(scale.read_text() + "runs: [default]\nwithout: [knn]\n")
    files, misfits = needed("table4", Jobs(sheets, "results"), "smoke")
    assert files == [evaluated("default", "finetune", "smoke")]
    assert misfits == {"loss_full": "not among the runs of this scale"}


def test_a_published_cell_may_have_no_run(tmp_path):
    sheets = copied(tmp_path / "config")
    row = PaperRow(table="table4", row="another method", column="top-1 (%)", value="80.0")
    sheets.paper["table4", "another method", "top-1 (%)"] = row
    assert not needed("table4", Jobs(sheets, "results"), "paper").misfits
