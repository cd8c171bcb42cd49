"""What Figures 3 and 7 are drawn from: the right pairs of AvgDist and score, and whose they are."""

from __future__ import annotations

import dataclasses
import math

import pytest
from made_up import BLOCK, FACTS, PAPER, PAPER_OF_MASKS, RANDOM, cell

from simmim.report import avg_dist_points as points
from simmim.report.results import Results
from simmim.report.scale_facts import MaskName


@pytest.fixture(scope="module")
def frame(results):
    return Results([*results["avg_dist"], *results["finetune"]], FACTS).records


def test_published_points_are_pairs_of_one_run():
    ratios = points.published_ratios(FACTS)
    assert [(p.mask, p.x, p.y) for p in ratios] == [(RANDOM, 0.4, 12.7), (RANDOM, 0.6, 17.4), (BLOCK, 0.6, 31.7)]
    scores = points.published_scores(FACTS)
    assert [(p.mask, p.x, p.y) for p in scores] == [(RANDOM, 17.4, 82.8), (BLOCK, 31.7, 82.6)]
    transfers = points.published_transfers(FACTS, "COCO box AP")
    assert [(p.mask, p.x, p.y) for p in transfers] == [(RANDOM, 17.5, 50.1), (BLOCK, 31.8, 49.5)]
    assert {p.source for p in (*ratios, *scores, *transfers)} == {"paper"}


def test_a_published_point_without_a_run_is_called_by_its_row():
    paper = {("figure3a", "stripes", "ratio 0.5"): cell("", "9.9", "pretrain", "avg_dist") | {"x": "0.5"}}
    (point,) = points.published_ratios(dataclasses.replace(FACTS, paper=paper))
    assert point.mask == MaskName("stripes", 0, "stripes")


def test_our_points_are_measured_on_tokens(frame):
    ratios = points.our_ratios(frame, FACTS)
    assert [(p.source, p.mask, p.x, p.y) for p in ratios] == [
        ("ours", RANDOM, 0.625, 5.0),
        ("ours", BLOCK, 0.625, 10.0),
    ]


def test_our_scores_are_a_mean_with_its_deviation_or_every_seed(frame):
    (point,) = points.our_scores(frame, FACTS, "finetune", "top1")  # mask_block is not fine-tuned
    assert (point.source, point.mask, point.x, point.y, point.deviation) == ("ours", RANDOM, 5.0, 60.0, 1.0)
    two_seeds = frame[frame["seed"] < 2]
    each = points.our_scores(two_seeds, FACTS, "finetune", "top1")
    assert [point.y for point in each] == [59.0, 60.0] and all(math.isnan(point.deviation) for point in each)


def test_what_stands_beside_a_column_is_named_in_the_sheet():
    assert points.evaluation_and_metric(FACTS, "table1") == ("finetune", "top1")
    assert points.evaluation_and_metric(FACTS, "figure7", "COCO box AP") == ("detect", "box_ap")
    assert points.evaluation_and_metric(FACTS, "table99") == ("", "")


def test_figures_beside_the_paper_need_avg_dist_and_the_evaluations_they_show():
    assert PAPER and PAPER_OF_MASKS
    needs = [tuple(need) for need in points.needs_beside(FACTS, "figure7")]
    assert needs == [("avg_dist", "", ""), ("evaluate", "default", "finetune"), ("evaluate", "default", "detect")]
    assert points.needs_beside(dataclasses.replace(FACTS, fitting_masks={}), "figure7") == []
    assert points.needs_beside(dataclasses.replace(FACTS, paper={}), "figure7") == []
