"""The language of claims.tsv: what it reads, and what it refuses with the row and the nearest choice."""

from __future__ import annotations

import pytest
from helpers.sheets import append

from simmim.config.claims import Operand, Score, Side, claim_of, tolerances
from simmim.config.rows import ClaimRow
from simmim.config.sheets import Sheets

COLUMNS = ("claim", "section", "first", "relation", "second", "evaluation", "metric", "tolerance", "paper")
ROW = dict(zip(COLUMNS, ("One is better", "4", "default", "better than", "loss_full", "finetune", "top1", "", "+1")))


def one(run: str, evaluation: str = "finetune") -> Operand:
    return Operand(Score(run, evaluation))


@pytest.mark.parametrize(
    ("text", "side"),
    [
        ("default", Side("", (one("default"),))),
        ("best of a b", Side("best", (one("a"), one("b")))),
        ("each of a", Side("each", (one("a"),))),
        ("default/probe", Side("", (one("default", "probe"),))),
        ("default/segment,segment_lr3e4", Side("", (one("default", "segment segment_lr3e4"),))),
        ("a-b/probe", Side("", (Operand(Score("a", "finetune"), Score("b", "probe")),))),
    ],
)
def test_a_side_is_a_run_several_or_a_gain_each_with_its_evaluation(text, side):
    claim = claim_of(ClaimRow(**ROW | {"first": text}), "paper")
    assert claim.first == side
    assert claim.second == Side("", (one("loss_full"),))
    assert [*claim.scores()][-1] == Score("loss_full", "finetune")


def test_a_series_stands_alone():
    claim = claim_of(ClaimRow(**ROW | {"first": "a b", "relation": "rising", "second": ""}), "paper")
    assert (claim.first, claim.second) == (Side("", (one("a"), one("b"))), None)


def test_a_scale_may_have_a_tolerance_of_its_own():
    row = ClaimRow(**ROW | {"relation": "close to", "tolerance": "0.3 small=1 demo=2.5"})
    assert [claim_of(row, scale).tolerance for scale in ("paper", "small", "demo")] == [0.3, 1.0, 2.5]


@pytest.mark.parametrize(
    ("paper", "number"),
    [("+0.3", 0.3), ("−0.2x", -0.2), ("0.0", 0.0), ("+0.4 to +0.5", 0.4), ("+0.7 in 800 epochs", 0.7)]
    + [(words, None) for words in ("not printed", "within 0.3")],
)
def test_the_papers_difference_is_the_number_at_the_beginning(paper, number):
    tolerance = "" if number is not None else "1"
    assert claim_of(ClaimRow(**ROW | {"paper": paper, "tolerance": tolerance}), "paper").printed_difference == number


@pytest.mark.parametrize("text", ["small=1", "0.3 small", "0.3 small=x", "-1", "nan", "0.3 0.4", "0.3 small=1 small=2"])
def test_a_tolerance_that_is_none_is_refused(text):
    with pytest.raises(ValueError, match="write a number, and behind it SCALE=NUMBER"):
        tolerances(text)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"second": "los_full"}, "unknown run 'los_full'; did you mean 'loss_full'"),
        ({"first": "best of default los_full"}, "unknown run 'los_full'; did you mean 'loss_full'"),
        ({"first": "default-los_full"}, "unknown run 'los_full'; did you mean 'loss_full'"),
        ({"second": "loss_l2", "evaluation": "knn"}, "unknown evaluation of run 'loss_l2' 'knn'"),
        ({"first": "default/prob"}, "unknown evaluation of run 'default' 'prob'; did you mean 'probe'"),
        ({"second": "default/segment,segment_lr3"}, "'segment_lr3'; did you mean 'segment_lr3e4'"),
        ({"metric": "top_1"}, "unknown metric 'top_1'; did you mean 'top1'"),
        ({"metric": "miou"}, r"unknown metric 'miou' \(allowed: top1\)"),
        ({"metric": "los", "evaluation": "pretrain"}, "unknown metric 'los'; did you mean 'loss'"),
        (
            {"paper": "not printed", "tolerance": "0.1 smal=1"},
            "unknown scale in column 'tolerance' 'smal'; did you mean 'small'",
        ),
        (
            {"first": "bets of default loss_l2"},
            "unknown word before 'of' in column 'first' 'bets'; did you mean 'best'",
        ),
        ({"second": "best of"}, "second = 'best of': name the runs behind it"),
        (
            {"first": "default loss_l2"},
            "first = 'default loss_l2' names several runs: begin with 'each of' or 'best of'",
        ),
        ({"tolerance": "0.1"}, "tolerance = '0.1': leave it empty, relation 'better than' has none"),
        ({"relation": "close to"}, "tolerance is empty: write how far apart"),
        ({"relation": "not worse than"}, "tolerance is empty: write how far apart"),
        ({"paper": "not printed"}, "tolerance is empty: write .* what is a difference"),
        ({"second": ""}, "relation 'better than' needs something in `second`"),
        ({"relation": "rising"}, "relation 'rising' stands alone: leave `second` empty"),
        ({"relation": "rising", "second": ""}, "first = 'default': a rising series is several runs"),
        ({"relation": "beter than"}, "relation = 'beter than'"),
    ],
)
def test_a_wrong_row_is_refused_with_its_key_and_the_nearest_choice(folder, change, message):
    append(folder / "claims.tsv", *(ROW | change).values())
    key = f"One is better {(ROW | change)['evaluation']}"
    with pytest.raises(ValueError, match=rf"claims.tsv, row '{key}': .*{message}") as refused:
        Sheets(folder)
    assert "\n" not in str(refused.value)
