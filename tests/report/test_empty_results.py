"""Every figure and table of every scale where nothing of it was measured: it says so, and never breaks."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest
from made_up import FACTS, origin, write_evaluation

from simmim.config.sheets import Sheets
from simmim.plugin import names
from simmim.report import catalogue
from simmim.report.drawing import read_drawing
from simmim.report.results import Results
from simmim.report.status import NothingToDraw
from simmim.report.style import look
from simmim.report.write import make_table, write_figure
from simmim.storage.records import record, write

SHEETS = Sheets(Path(__file__).parents[2] / "config")
OWN = "smoke"  # a scale that has every figure but those of rows that others do not have
DRAWN_ANYWAY = ("figure3", "figure7", "losses")  # the paper's points, or panels that say that nothing was run


def empty(folder):
    write(folder / "empty.parquet", [])
    return folder / "empty.parquet"


def unrelated(folder):
    """A record of a run and an evaluation that no figure and no table has heard of."""
    write(folder / "unrelated.parquet", [record(origin("stranger", "other", 0, OWN), 1, "top1", 1.0)])
    return folder / "unrelated.parquet"


@pytest.mark.parametrize("name", names("report.figures"))
def test_a_figure_of_nothing_says_so(name, tmp_path):
    write_figure(name, [empty(tmp_path)], tmp_path / name, FACTS)
    caption = read_drawing(tmp_path / f"{name}.png").caption
    assert (name in DRAWN_ANYWAY) != caption.endswith(
        f" so there is nothing to draw. {catalogue.figure(name).description}"
    )


@pytest.mark.parametrize("make", [empty, unrelated])
def test_no_figure_of_a_scale_breaks_without_rows(make, tmp_path):
    facts = catalogue.facts(SHEETS, OWN)
    results = Results([make(tmp_path)], facts)
    assert {*catalogue.figures(SHEETS, OWN)} | {"image_passes"} == {*names("report.figures")}
    for name in names("report.figures"):
        with look(), nullcontext() if name in DRAWN_ANYWAY else pytest.raises(NothingToDraw):
            catalogue.figure(name).make(results, facts)


@pytest.mark.parametrize("make", [empty, unrelated])
def test_no_table_of_a_scale_breaks_without_rows(make, tmp_path):
    for name in catalogue.tables(SHEETS, OWN):
        table = make_table(name, [make(tmp_path)], catalogue.facts(SHEETS, OWN))
        assert make is unrelated or "measured at" not in str(table)


def test_runs_without_a_baseline_from_scratch_are_left_out_of_the_comparison(tmp_path):
    alone = write_evaluation(tmp_path, "mask_block", "finetune", {("top1", ""): [50.0]})
    write_figure("scratch", [alone], tmp_path / "scratch", FACTS)
    caption = read_drawing(tmp_path / "scratch.png").caption
    assert caption.startswith(
        "Made-up scale: made-up tiles. No run that has a baseline from scratch was evaluated at scale 'made-up'"
    )
