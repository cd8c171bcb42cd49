"""Verdicts on claims: what they rest on, by SciPy on the same numbers, and what decides over several runs."""

from __future__ import annotations

import dataclasses
import re

import pandas as pd
import pytest
from made_claims import ONE, Made, lines_of, only
from made_up import FACTS, SCALE, claim
from scipy import stats

from simmim.config.claims import claim_of
from simmim.report.statistics import needed
from simmim.report.tables import claims
from simmim.report.verdicts import p_text

COST = {"evaluation": "pretrain", "metric": "relative_cost"}
FIRST, SECOND = [61.0, 60.0, 62.5, 61.5], [60.2, 59.3, 61.2, 60.9]


def test_a_verdict_rests_on_pairs_of_pretrainings_as_scipy_compares_them():
    row = only(claim("default", "better than", "vit"), {"default": FIRST, "vit": SECOND})
    theirs = stats.ttest_rel(FIRST, SECOND)
    low, high = theirs.confidence_interval(0.95)
    assert row["ours"] == f"+0.9 [+{low:.1f}, +{high:.1f}]" == "+0.9 [+0.4, +1.3]"
    assert (row["n"], row["p"], row["verdict"]) == ("4 pairs", f"{theirs.pvalue:.3f}", "holds")
    assert stats.ttest_ind(FIRST, SECOND, equal_var=False).pvalue > 0.2, "without pairs it would be undecided"


@pytest.mark.parametrize(
    ("p", "text"),
    [(0.0496, "0.0496"), (0.05, "0.050"), (0.0504, "0.0504"), (0.050004, "0.050004"), (0.31, "0.31")],
)
def test_a_p_is_printed_on_the_side_of_the_level_that_it_lies_on(p, text):
    """Up to 0.05 a claim is decided: 0.050 must not stand beside both verdicts."""
    assert p_text(p) == text


def test_a_side_with_more_pretrainings_counts_those_that_the_other_has_too():
    row = only(claim("default", "better than", "vit"), {"default": [*FIRST[:3], 90.0], "vit": SECOND[:3]})
    theirs = stats.ttest_rel(FIRST[:3], SECOND[:3])
    low, high = theirs.confidence_interval(0.95)
    assert row["ours"] == f"+0.9 [+{low:.1f}, +{high:.1f}]"
    assert (row["n"], row["p"]) == ("3 pairs", f"{theirs.pvalue:.3f}")


@pytest.mark.parametrize(
    ("relation", "differences", "verdict"),
    [
        ("better than", [2.0, 2.1, 1.9], "holds"),
        ("better than", [-2.0, -2.1, -1.9], "contradicted"),
        ("better than", [2.0, -2.0, 1.0], "undecided"),
        ("better than", [2.0], ONE),
        ("not worse than", [-0.5, -0.4, -0.6], "holds"),  # within the tolerance of 1
        ("not worse than", [5.0, 5.1, 4.9], "holds"),
        ("not worse than", [-1.5, -1.4, -1.6], "contradicted"),
        ("not worse than", [-1.0, -0.9, -1.2], "undecided"),
        ("close to", [0.5, 0.4, 0.6], "holds"),
        ("close to", [-0.5, -0.4, -0.6], "holds"),
        ("close to", [5.0, 5.1, 4.9], "contradicted"),
        ("close to", [-1.5, -1.4, -1.6], "contradicted"),
        ("close to", [0.1, 3.0, -3.0], "undecided"),  # no difference to be seen is no sign of closeness
        ("close to", [0.9, 1.0, 1.2], "undecided"),
        ("close to", [0.0], ONE),
    ],
)
def test_verdicts(relation, differences, verdict):
    level = [50.0 + 7 * seed for seed in range(len(differences))]
    values = {"default": [each + more for each, more in zip(level, differences)], "vit": level}
    row = only(claim("default", relation, "vit"), values)
    assert row["verdict"].startswith(verdict)
    assert row["relation"] == (relation if relation == "better than" else f"{relation} (within 1)")


def test_claims_about_a_table_of_the_paper_are_corrected_for_each_other():
    """A claim that holds by itself is undecided among others; what has one pre-training is none of them."""
    values = {"default": FIRST, "vit": SECOND, "loss_full": [60.5, 61.0, 60.0, 61.0], "random_swin": [50.0]}
    rows = [claim("default", "better than", run) for run in ("vit", "loss_full", "random_swin")]
    assert only(rows[0], values)["p"] == "0.012"
    both = lines_of(*rows[:2], values=values)
    others = [claim("vit", relation, "loss_full") for relation in ("close to", "not worse than", "better than")]
    assert [cells["p"] for cells in lines_of(*rows, values=values)] == [*(cells["p"] for cells in both), "–"]
    assert both[0]["p"] == "0.024" and both[0]["verdict"] == "holds"
    many = lines_of(*rows[:2], *others, claim("loss_full", "better than", "default"), values=values)
    assert many[0]["p"] == "0.072" and many[0]["verdict"].startswith("undecided (4 pre-trainings")


def test_claims_about_another_table_of_the_paper_are_another_family():
    """Wherever the paper makes them; the level of power is that of the family, too."""
    values = {"default": FIRST, "vit": SECOND, "loss_full": [60.5, 61.0, 60.0, 61.0]}
    sections = ("4.1, Table 1", "Introduction, Table 1", "4.1, Table 2")
    rows = [claim("default", "better than", "vit").model_copy(update={"section": each}) for each in sections]
    first, second, other = lines_of(*rows, values=values)
    alone = only(rows[0], values)
    assert first["p"] == second["p"] == "0.024" and other["p"] == alone["p"] == "0.012"
    assert first["power"] == second["power"] != other["power"] == alone["power"]


def test_an_undecided_claim_says_the_n_that_would_decide_and_the_power_that_it_has():
    wide = {"default": [60.0, 63.0, 58.0, 61.0], "vit": [59.0, 60.0, 60.0, 62.0]}
    deviation = (pd.Series(wide["default"]) - pd.Series(wide["vit"])).std()
    (alone,) = lines_of(claim("default", "better than", "vit"), values=wide)
    enough = needed([1.1], [deviation], 0.05)
    assert alone["verdict"] == f"undecided (4 pre-trainings; about {enough} would decide it)" and enough > 30
    effect = 1.1 / deviation
    chance = stats.nct.sf(stats.t.isf(0.025, 3), 3, effect * 2)
    assert alone["power"] == f"{100 * chance:.0f} % for +1.1"
    (two, _) = lines_of(
        *(claim(*each) for each in (("default", "better than", "vit"), ("vit", "better than", "default"))), values=wide
    )
    assert two["verdict"] == f"undecided (4 pre-trainings; about {needed([1.1], [deviation], 0.025)} would decide it)"
    none = only(claim("default", "better than", "vit"), {"default": [60.0, 60.02, 60.0], "vit": [60.01, 60.0, 60.0]})
    assert none["verdict"] == "undecided (3 pre-trainings, enough for +1.1)"
    vast = only(claim("default", "better than", "vit"), {"default": [60.0, 90.0, 10.0], "vit": [60.0, 60.0, 60.0]})
    assert vast["verdict"] == "undecided (3 pre-trainings; more than 1000 would decide it)"


@pytest.mark.parametrize(
    ("relation", "paper", "target"),
    [
        ("better than", "not printed", "+2"),  # the tolerance
        ("close to", "within 0.3", "0"),
        ("not worse than", "−0.5", "−0.5"),
        ("not worse than", "−2.5", None),  # beyond the tolerance of 2: no n would show it
        ("better than", "+0.4 to +0.5", "+0.4"),
    ],
)
def test_power_is_told_for_the_papers_difference_or_in_its_place(relation, paper, target):
    changes = {"paper": paper, "tolerance": "" if paper.startswith("+") else "2"}
    row = only(claim("default", relation, "vit").model_copy(update=changes), {"default": FIRST, "vit": SECOND})
    assert row["power"].endswith(f" for {target}") if target else row["power"] == "–"


LEVELS = {"default": [60.0, 60.1, 59.9], "vit": [40.1, 40.0, 39.9], "loss_full": [50.0, 50.1, 49.9]}


@pytest.mark.parametrize(
    ("first", "second", "shown", "words"),
    [
        ("each of default vit", "loss_full", ("vit: 40.0 ± 0.1 (worst of 2)", "loss_full: 50.0 ± 0.1"), "contradicted"),
        ("best of default vit", "loss_full", ("default: 60.0 ± 0.1 (best of 2)", "loss_full: 50.0 ± 0.1"), "holds"),
        ("default", "each of vit loss_full", ("default: 60.0 ± 0.1", "loss_full: 50.0 ± 0.1 (worst of 2)"), "holds"),
        ("default-vit", "loss_full-vit", ("default − vit: +20.0 ± 0.1", "loss_full − vit: +10.0 ± 0.1"), "holds"),
    ],
)
def test_the_number_that_decides_is_shown(first, second, shown, words):
    row = only(claim(first, "better than", second), LEVELS | {"default": [60.1, 59.9, 60.0]})
    assert ((row["first"], row["second"]), row["verdict"]) == (shown, words)


def test_a_gain_is_over_the_pretrainings_that_both_have():
    values = {"default": [60.0, 61.0, 70.0], "vit": [50.0, 50.5], "loss_full": [52.0, 53.5, 52.0]}
    row = only(claim("default-vit", "better than", "loss_full-vit"), values)
    assert (row["n"], row["first"], row["second"]) == ("2 pairs", "default − vit: +10.2", "loss_full − vit: +2.5")


def test_of_each_of_several_the_least_certain_decides_and_a_failure_is_corrected_for_the_choice():
    """The one that is ahead by more varies more."""
    values = {"default": [65.0, 60.0, 70.0], "vit": [52.0, 52.1, 51.9], "loss_full": [50.0, 50.0, 50.01]}
    row = only(claim("each of default vit", "better than", "loss_full"), values)
    assert row["first"].startswith("default")
    assert row["p"] == f"{stats.ttest_rel(values['default'], values['loss_full']).pvalue:.3f}"
    row = only(claim("loss_full", "better than", "each of default vit"), values)
    assert row["second"].startswith("vit")
    assert row["p"] == f"{2 * stats.ttest_rel(values['vit'], values['loss_full']).pvalue:.3f}"


def test_the_power_over_several_is_that_of_one_pair():
    """All of them together have less."""
    wide = {"default": [60.0, 63.0, 58.0], "vit": [59.0, 62.0, 60.0], "loss_full": [58.5, 60.0, 60.0]}
    one = only(claim("default", "better than", "loss_full"), wide)
    row = only(claim("each of default vit", "better than", "loss_full"), wide)
    assert row["first"].startswith("default") and row["power"] == f"{one['power']}, for one pair of 2"
    assert row["verdict"] == one["verdict"].replace("decide it", "decide one pair")


def test_each_of_several_is_undecided_where_one_has_one_pretraining():
    values = LEVELS | {"vit": [70.0]}
    row = only(claim("each of default vit", "better than", "loss_full"), values)
    assert (row["verdict"], row["n"], row["first"]) == (ONE, "1 and 3", "vit: 70.0 (worst of 2)")


@pytest.mark.parametrize(
    ("levels", "words", "between"),
    [
        ((40.0, 50.0, 60.0), "holds", "vit to default"),
        ((40.0, 38.0, 60.0), "contradicted", "vit to loss_full"),
        ((40.0, 50.0, 30.0), "contradicted", "vit to default"),
        ((40.0, 40.1, 40.05), "undecided (3 pre-trainings, enough for +1.1)", "vit to default"),
        ((40.0, 39.9, 60.0), "undecided (no rise from vit to loss_full)", "vit to default"),
    ],
)
def test_a_series_rises_if_its_end_is_above_its_start_and_every_step_rises(levels, words, between):
    runs, noise = ("vit", "loss_full", "default"), ([0.1, -0.2, 0.1], [-0.1, 0.0, 0.1], [0.2, 0.0, -0.2])
    values = {run: [level + each for each in more] for run, level, more in zip(runs, levels, noise)}
    row = only(claim(" ".join(runs), "rising", ""), values)
    assert row["verdict"].startswith(words) and row["ours"].endswith(f"], {between}")
    assert re.sub(r" ± [0-9.]+", "", row["first"]) == " → ".join(f"{r}: {v:.1f}" for r, v in zip(runs, levels))
    assert row["second"] == "–"


def test_a_step_that_does_not_rise_leaves_a_series_undecided_but_for_what_is_tolerated():
    values = {"vit": [40.0, 40.3, 40.1], "loss_full": [39.9, 40.4, 39.9], "default": [60.0, 60.1, 60.3]}
    rising = claim("vit loss_full default", "rising", "")
    row = only(rising, values)
    assert (row["verdict"], row["p"]) == ("undecided (no rise from vit to loss_full)", "1.00")
    tolerant = rising.model_copy(update={"tolerance": "0.2", "paper": "not printed"})
    assert only(tolerant, values)["verdict"] == "holds"
    masks = rising.model_copy(update={"metric": "avg_dist"})
    assert only(rising, {run: each[:1] for run, each in values.items()})["verdict"] == ONE
    made = Made({(run, "finetune", "avg_dist"): each for run, each in zip(values, ([4.0], [4.0], [5.0]))})
    (line,) = claims.make(made, dataclasses.replace(FACTS, claims=(claim_of(masks, SCALE),))).lines
    assert line.cells["verdict"] == "undecided (no rise from vit to loss_full)"


def test_less_is_better_in_losses():
    made = Made({("default", "pretrain", "loss"): [0.5, 0.49, 0.51], ("vit", "pretrain", "loss"): [1.0, 0.99, 1.03]})
    changes = {"evaluation": "pretrain", "metric": "loss", "paper": "−0.8"}
    row = claim("default", "better than", "vit").model_copy(update=changes)
    (line,) = claims.make(made, dataclasses.replace(FACTS, claims=(claim_of(row, SCALE),))).lines
    assert (line.cells["ours"], line.cells["verdict"]) == ("−0.5067 [−0.5354, −0.4780]", "holds")
    assert line.cells["power"].endswith(" for −0.8")


def test_a_cost_is_that_of_the_fastest_pretraining_over_the_first_runs_and_has_no_test():
    """What made the others slow made all slow that were trained at that time."""
    seconds = {"default": [55.0, 50.0, 60.0], "vit": [100.0, 110.0, 140.0]}
    made = Made({(run, "pretrain", "train_seconds"): each for run, each in seconds.items()})
    rows = [claim("default", "better than", "vit").model_copy(update=COST | {"paper": "−0.8x"})]
    rows += [rows[0].model_copy(update={"first": "vit", "second": "default"})]
    facts = dataclasses.replace(FACTS, claims=tuple(claim_of(row, SCALE) for row in rows))
    cells, reverse = (line.cells for line in claims.make(made, facts).lines)
    assert (cells["first"], cells["second"], cells["ours"]) == ("default: 1.0x", "vit: 2.0x", "−1.0x")
    assert (cells["n"], cells["power"], cells["p"], cells["verdict"]) == ("1 and 1", "–", "–", ONE)
    assert (reverse["first"], reverse["second"]) == ("vit: 1.0x", "default: 0.5x")
    assert cells["measured by"] == "pre-training, relative training time"


def test_a_claim_about_a_cost_on_two_kinds_of_cpu_says_so():
    times = {(run, "pretrain", "train_seconds"): [50.0] for run in ("default", "vit")}
    row = claim("default", "better than", "vit").model_copy(update=COST | {"paper": "−0.8x"})
    facts = dataclasses.replace(FACTS, claims=(claim_of(row, SCALE),))
    ((cells,), (absent,)) = (
        [line.cells for line in claims.make(made, facts).lines]
        for made in (Made(times, {"vit": "another CPU"}), Made(dict([*times.items()][:1])))
    )
    why = "timed on another kind of CPU or GPU"
    assert (cells["verdict"], cells["ours"]) == (f"no verdict: {why}", "–")
    assert (cells["first"], cells["second"], cells["status"]) == ("default: 1.0x", f"vit: {why}", f"vit: {why}")
    assert (absent["verdict"], absent["second"], absent["status"]) == ("not run", "vit: not run", "vit: not run")


def test_the_avg_dist_of_masks_is_known_without_any_training_and_in_no_family():
    kind = {"evaluation": "pretrain", "metric": "avg_dist"}
    rows = [claim("default", "better than", run).model_copy(update=kind) for run in ("vit", "loss_full", "same")]
    rows += [claim("default", "better than", "random_swin")]
    values = {
        (run, "pretrain", "avg_dist"): [value]
        for run, value in (("default", 5.0), ("vit", 4.9), ("loss_full", 6.0), ("same", 5.0))
    }
    values |= {("default", "finetune", "top1"): FIRST, ("random_swin", "finetune", "top1"): SECOND}
    facts = dataclasses.replace(FACTS, claims=tuple(claim_of(row, SCALE) for row in rows))
    tested, *lines = [line.cells for line in claims.make(Made(values), facts).lines]
    assert [line["verdict"] for line in lines] == ["holds", "contradicted", "undecided (no difference)"]
    assert {(line["n"], line["p"], line["power"]) for line in lines} == {("–", "–", "–")}
    assert (tested["p"], tested["verdict"]) == ("0.012", "holds")
