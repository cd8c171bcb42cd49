"""What Figures 3 and 7 are drawn from: the right pairs of AvgDist and score, and whose they are."""

from __future__ import annotations

import math

import pytest
from made_up import FACTS, PAPER, PAPER_OF_MASKS, SCALE

from simmim.report import avg_dist_points as points
from simmim.report.measurements import read

BOTH = PAPER | PAPER_OF_MASKS
MASKS = points.masks_of_runs(FACTS, BOTH)
RANDOM, BLOCK = "random, 32 px", "block-wise, 32 px"


@pytest.fixture(scope="module")
def frame(results):
    return read([*results["avg_dist"], *results["finetune"]], SCALE)


def test_a_run_is_called_what_the_paper_calls_it():
    assert MASKS == {"default": RANDOM, "mask_block": BLOCK, "mask_r40": RANDOM}
    assert points.masks_of_runs(FACTS, PAPER) == FACTS.masks


def test_published_points_are_pairs_of_one_run():
    assert [(p.mask, p.x, p.y) for p in points.published_ratios(BOTH)] == [
        (RANDOM, 0.4, 12.7), (RANDOM, 0.6, 17.4), (BLOCK, 0.6, 31.7)]  # fmt: skip
    assert [(p.mask, p.x, p.y) for p in points.published_scores(BOTH)] == [(RANDOM, 17.4, 82.8), (BLOCK, 31.7, 82.6)]
    assert [(p.mask, p.x, p.y) for p in points.published_transfers(BOTH, "COCO box AP", MASKS)] == [
        (RANDOM, 17.5, 50.1), (BLOCK, 31.8, 49.5)]  # fmt: skip
    assert {p.source for p in points.published_scores(BOTH)} == {"paper"}


def test_our_points_are_measured_on_tokens(frame):
    ratios = points.our_ratios(frame, FACTS, MASKS)
    assert [(p.source, p.mask, p.words, p.x, p.y) for p in ratios] == [
        ("ours", RANDOM, "random, 16 px", 0.625, 5.0), ("ours", BLOCK, "block-wise, 16 px", 0.625, 10.0)]  # fmt: skip


def test_our_scores_are_a_mean_with_its_deviation_or_every_seed(frame):
    (point,) = points.our_scores(frame, FACTS, MASKS, "finetune", "top1")  # mask_block is not fine-tuned
    assert (point.mask, point.x, point.y, point.deviation) == (RANDOM, 5.0, 60.0, 1.0)
    two_seeds = frame[frame["seed"] < 2]
    each = points.our_scores(two_seeds, FACTS, MASKS, "finetune", "top1")
    assert [point.y for point in each] == [59.0, 60.0] and all(math.isnan(point.deviation) for point in each)


def test_what_stands_beside_a_column_is_named_in_the_sheet():
    assert points.evaluation_of("table1", BOTH) == ("finetune", "top1")
    assert points.evaluation_of("figure7", BOTH, "COCO box AP") == ("detect", "box_ap")
    assert points.evaluation_of("table99", BOTH) == ("", "")
