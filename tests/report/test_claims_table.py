"""Claims: each of the sheet is seen to hold, to fail and to be undecided; the paper's numbers bear out its words."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
from made_claims import ONE, Made, only
from made_up import FACTS, SCALE, claim

from simmim.config.claims import claim_of
from simmim.config.sheets import Sheets
from simmim.report import catalogue
from simmim.report.measurements import LOWER_IS_BETTER, OF_MASKS
from simmim.report.tables import claims
from simmim.report.tables._paper import published
from simmim.report.write import make_table

SHEETS = Sheets(Path(__file__).parents[2] / "config")
PAPER = catalogue.facts(SHEETS, "paper")


def goodness(made_of, which: str) -> dict:
    """Operand to how good it is made: 50 on the second side; the first beside it, as the claim holds or fails."""
    is_good = which == "holds"
    first = list(made_of.first.operands)
    if made_of.relation == "rising":
        return {each: 10.0 * (n if is_good else -n) + 100 for n, each in enumerate(first)}
    best, rest = (60.0, 40.0) if made_of.relation == "better than" else (50.0, 50.0)
    second = {} if made_of.second is None else dict.fromkeys(made_of.second.operands, 30.0)
    second |= {made_of.second.operands[-1]: 50.0}
    if made_of.second.which != "best":
        second = dict.fromkeys(second, 50.0)
    values = dict.fromkeys(first, rest if made_of.first.which == "best" else best) | {first[-1]: best}
    if not is_good:
        values = dict.fromkeys(first, 20.0) if made_of.first.which != "each" else values | {first[0]: 20.0}
    return {**second, **values} if made_of.relation != "close to" else {**dict.fromkeys(second, 50.0), **values}


def noisy(number: float, seeds: int, key: tuple) -> list[float]:
    """Pre-trainings around a number; every key has draws of its own."""
    rng = np.random.default_rng([ord(letter) for letter in str(key)])
    return [number, *(number + 0.0003 * rng.standard_normal(seeds - 1))]


def made_for(made_of, which: str, seeds: int) -> Made:
    """Records by which a claim of the sheet holds or is contradicted; of several evaluations the last is the best."""
    metric, less_is_better = made_of.metric, made_of.metric in LOWER_IS_BETTER
    values: dict[tuple[str, str, str], list[float]] = {}
    for operand, good in goodness(made_of, which).items():
        parts = [(operand.score, good + 5 if operand.less else good), *([(operand.less, 5.0)] if operand.less else [])]
        for score, value in parts:
            for behind, name in enumerate(reversed(score.evaluation.split())):
                number = (100 - value if less_is_better else value) - behind
                key = (score.run, name, "train_seconds" if metric == "relative_cost" else metric)
                values[key] = noisy(number, seeds, key)
    return Made(values)


@pytest.mark.parametrize("each", PAPER.claims, ids=lambda each: f"{each.claim}, {each.evaluation}")
def test_every_claim_of_the_sheet_can_hold_fail_be_undecided_and_lack_a_number(each):
    facts = dataclasses.replace(PAPER, claims=(each,), misfits={})

    def cells(results):
        return claims.lines_of(results, facts)[0].cells

    for which in ("holds", "contradicted"):
        assert cells(made_for(each, which, 4))["verdict"] == (ONE if each.metric == "relative_cost" else which)
        assert cells(made_for(each, which, 1))["verdict"] == (which if each.metric in OF_MASKS else ONE)
    complete = made_for(each, "holds", 3)
    *_, lost = each.scores()
    for name in lost.evaluation.split():
        complete.values = {key: seeds for key, seeds in complete.values.items() if key[:2] != (lost.run, name)}
    incomplete = cells(complete)
    assert (incomplete["verdict"], incomplete["ours"]) == ("not run", "–")
    assert incomplete["status"].startswith(lost.run) and incomplete["status"].endswith(": not run")


def printed(seeds: int) -> Made:
    """The paper's numbers as if they were ours; a relative cost as seconds."""
    values = {}
    for (table, _, _), cell in PAPER.paper.items():
        number = published(cell)
        if cell["run"] and number is not None and table != "released":
            is_cost = cell["metric"] == "relative_cost"
            for evaluation in cell["evaluation"].split():
                key = (cell["run"], evaluation, "train_seconds" if is_cost else cell["metric"])
                values[key] = noisy(100 * number if is_cost else number, seeds, key)
    return Made(values)


def by_verdict(seeds: int) -> dict[str, set]:
    """Verdict, without what stands in brackets, to the claims that have it by the paper's numbers."""
    found: dict[str, set] = {}
    lines = claims.lines_of(printed(seeds), dataclasses.replace(PAPER, misfits={}))
    for each, line in zip(PAPER.claims, lines, strict=True):
        found.setdefault(line.cells["verdict"].partition(" (")[0], set()).add((each.claim, each.evaluation.split()[0]))
    return found


def test_the_papers_numbers_differ_as_the_sheet_says():
    lines = claims.lines_of(printed(1), dataclasses.replace(PAPER, misfits={}))
    measured = [(each, line.cells["ours"]) for each, line in zip(PAPER.claims, lines) if line.cells["ours"] != "–"]
    assert len(measured) == 76
    for each, text in measured:
        ours = float(re.match(r"[+−]?[0-9.]+", text)[0].replace("−", "-"))
        theirs = float(re.search(r"[+−]?[0-9.]+", each.paper)[0].replace("−", "-"))
        if each.paper.startswith("within"):
            assert abs(ours) <= theirs, each
        else:
            assert ours == pytest.approx(theirs, abs=0.06 if abs(ours) > 0.01 else 1e-5), each


def test_the_papers_numbers_bear_out_its_words_if_another_pretraining_gave_them_again():
    """One is within 0.3 of the best by exactly 0.3, costs have no test; of one pre-training only masks are known."""
    found = by_verdict(4)
    assert {*found} == {"holds", "undecided", "not run"}
    assert len(found["holds"]) == 68
    costs = {(each.claim, each.evaluation) for each in PAPER.claims if each.metric == "relative_cost"}
    assert len(costs) == 7
    assert found["undecided"] == {("Masks of 32 px are competitive at ratios of 10 to 70 %", "finetune")} | costs
    assert {name for name, _ in found["not run"]} == {
        "A moderate AvgDist beats a small one (random, 8 px)",
        "A moderate AvgDist beats a large one (block-wise, 32 px, 0.8)",
        "A heavier head has a lower loss (inverse Swin-T)",
        "Loss on the masked area beats loss on the full image",
        "Pre-training beats training from scratch (in place of Table 7's supervised training)",
        "Segmentation is better from the fine-tuned encoder",
    }
    assert {name[:12] for name, _ in by_verdict(1)["holds"]} == {"AvgDist grow"}


def test_the_paper_scale_has_all_that_its_claims_compare():
    """But for data that are not public nothing named in the sheet is left out of the workflow."""
    needs = {(need.run, need.evaluation) for need in claims.needs(PAPER) if need.kind == "evaluate"}
    named = {(score.run, name) for each in PAPER.claims for score in each.scores() for name in score.evaluation.split()}
    assert needs == {key for key in named if key[1] != "pretrain"}
    kinds = {need.kind for need in claims.needs(PAPER)}
    assert kinds == {"evaluate", "pretrain", "avg_dist"}


def test_a_claim_holds_is_contradicted_or_was_not_run(results):
    table = make_table("claims", results["finetune"], FACTS)
    found = {row["claim"]: row for row in table.rows}
    row = found["loss_full is better than default"]
    assert (row["ours"], row["n"], row["verdict"]) == ("+10.0 [+10.0, +10.0]", "3 pairs", "holds")
    assert found["default is better than loss_full"]["verdict"] == "contradicted"
    row = found["default is close to loss_full"]
    assert (row["verdict"], row["relation"]) == ("contradicted", "close to (within 1)")
    assert found["loss_full is not worse than default"]["verdict"] == "holds"
    counted = "Of 5 claims 4 were measured: holds 2, contradicted 2, undecided 0; 4 of these rest on a test"
    assert table.caption.startswith(counted)
    assert table.columns[:8] == ["claim", "measured by", "paper", "ours", "n", "power", "p", "verdict"]
    last = table.rows[-1]
    assert (last["second"], last["verdict"], last["status"]) == (
        "mask_block: not run",
        "not run",
        "mask_block: not run",
    )


def test_a_claim_says_why_a_run_cannot_be():
    row = only(claim("default", "better than", "mask_r4"), {"default": [60, 61, 62]})
    assert (row["first"], row["second"]) == ("default: 61.0 ± 1.0", "mask_r4: not run")
    assert (row["verdict"], row["status"]) == ("–", f"mask_r4: {FACTS.misfits['mask_r4']}")


def test_values_that_cannot_be_taken_together_give_no_verdict():
    row = only(claim("default", "better than", "vit"), {"default": [60, 61, float("nan")], "vit": [1, 2, 3]})
    assert (row["verdict"], row["ours"]) == ("no verdict: some values are not finite", "–")


def test_long_lists_of_what_is_missing_are_cut():
    compared = claim("default", "better than", "best of a b c d e")
    assert only(compared, {"default": [1.0]})["status"] == "a, b, c, d and 1 more: not run"
    assert only(compared, {"default": [1.0], "a": [1.0]})["second"] == "best of 5, 1 measured"


def test_a_cell_leads_to_the_number_that_decides():
    facts = dataclasses.replace(
        FACTS, claims=(claim_of(claim("best of default vit", "better than", "loss_full"), SCALE),)
    )
    made = Made(
        {(run, "finetune", "top1"): [value] for run, value in (("default", 1.0), ("vit", 9.0), ("loss_full", 5.0))}
    )
    (line,) = claims.make(made, facts).lines
    assert [(record["column"], record["run"]) for record in line.records] == [
        ("first", "vit"),
        ("first", "default"),
        ("second", "loss_full"),
    ]
