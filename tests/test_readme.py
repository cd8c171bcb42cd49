"""The numbers of README and docs/evidence.md are those of `results/`, and the README is short enough to be read."""

import math
import re
import sys
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
import yaml
from scipy import stats
from statsmodels.stats.multitest import multipletests

from simmim.config.sheets import Sheets
from simmim.report.facts import facts
from simmim.report.statistics import rank_correlation

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))
import evidence

ROOT = Path(__file__).parents[1]
EVALUATED = sorted(ROOT.glob("results/small/evaluate/*/finetune.parquet"))
EVALUATIONS = ("finetune", "probe")
IN_BOTH = ("mask_r8_r60", "mask_block32_r80", "loss_full", "random_swin")
TESTED = [  # of the default against another run: the evaluation or "loss", and the bound that is tested
    *((run, name, 0.0) for run in IN_BOTH for name in EVALUATIONS),
    ("head_mlp", "finetune", -1.0),
    ("target_bins8_192", "finetune", -1.0),
    ("step_100ep", "finetune", 0.0),
    ("target_clusters_48", "finetune", 0.0),
    ("head_inverse_swin_t", "finetune", -1.0),
    ("head_inverse_swin_t", "finetune", 0.0),
    ("head_inverse_swin_t", "loss", 0.0),
]
README = (ROOT / "README.md").read_text(encoding="utf-8")
STATISTICS, EVIDENCE = (
    " ".join((ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8").split()) for page in ("statistics", "evidence")
)


@pytest.mark.parametrize("page", evidence.PAGES, ids=lambda page: page.name)
def test_the_tables_are_those_of_the_results(page):
    text = page.read_text(encoding="utf-8")
    assert len(evidence.BLOCK.findall(text)) == text.count("made by benchmarks/evidence.py") > 0
    assert text == evidence.with_tables(text), "write them anew: python benchmarks/evidence.py"


def test_every_claim_that_was_measured_is_shown():
    claims = pd.read_parquet(ROOT / "results" / "small" / "tables" / "claims.parquet")
    claims = claims[(claims["ours"] != "–") & ~claims["measured by"].str.contains("AvgDist")]
    lines = (evidence.accuracy_claims() + evidence.single_claims() + evidence.other_claims()).splitlines()
    shown = [line.split(" | ")[0].partition(" (within ")[0] for line in lines if line.startswith("| ")]
    shown = [claim for claim in shown if claim not in ("| claim", "| ---")]
    assert sorted(shown) == sorted(f"| {claim}" for claim in claims["claim"])


def test_every_claim_that_was_measured_is_counted_by_what_it_is_about():
    claims = pd.read_parquet(ROOT / "results" / "small" / "tables" / "claims.parquet")
    claims = claims[claims["ours"] != "–"]
    kinds = re.findall(r"(\d+) about (what masks|accuracy with one|accuracy|losses)", evidence.verdicts())
    found = {what: int(count) for count, what in kinds}
    assert sum(found.values()) == len(claims)
    assert found["what masks"] == claims["measured by"].str.contains("AvgDist").sum() > 0
    ours = claims["measured by"].str.contains("top-1") & (claims["paper"].str.startswith("not printed"))
    assert f"For {ours.sum()} of those about accuracy the paper prints no number" in evidence.verdicts()


def families() -> Counter:
    """Tables and figures with the claims that several pre-trainings of all their runs will test at scale small."""
    scale = yaml.safe_load((ROOT / "config" / "scales" / "small.yaml").read_text(encoding="utf-8"))
    several = {run for run, seeds in scale["seeds"].items() if seeds > 1}
    tested = [each for each in facts(Sheets(ROOT / "config"), "small").claims if each.metric in ("top1", "loss")]
    return Counter(
        claim.family
        for claim in tested
        if all(run in several and not {*names.split()} <= {*scale["without"]} for run, names in claim.scores())
    )


def scores(run: str, evaluation: str) -> pd.Series:
    """Top-1 by seed, or the loss at the end of pre-training, straight from the records."""
    if evaluation == "loss":
        rows = pd.concat(pd.read_parquet(file) for file in ROOT.glob(f"results/small/pretrain/{run}/*/train.parquet"))
        return rows[rows["metric"] == "loss"].sort_values("step").groupby("seed")["value"].last()
    rows = pd.read_parquet(ROOT / "results" / "small" / "evaluate" / run / f"{evaluation}.parquet")
    return rows[(rows["metric"] == "top1") & rows["part"].isin(["", "chosen"])].set_index("seed")["value"]


def test_the_page_of_statistics_counts_the_claims_that_scale_small_will_test():
    claims = pd.read_parquet(ROOT / "results" / "small" / "tables" / "claims.parquet")
    tested = claims[claims["p"] != "–"]["paper"].str.extract(r", (\w+ \w+)\)$", expand=False).nunique()
    count, total = len(families()), families().total()
    assert f"as one of the {total} that scale `small` will test" in STATISTICS
    assert tested == count, "families are still to come: say with how many a verdict may be false then"
    assert (
        f"with the {count} that scale `small` tests any verdict on a claim is false with at most {5 * count} %"
        in STATISTICS
    )


def p_of(run: str, evaluation: str, bound: float, seeds_of_both: bool) -> float:
    """Of the default against another run, by pairs of the seeds that both have, or of all where these are the same."""
    ours, theirs = scores("default", evaluation) - bound, scores(run, evaluation)
    shared = ours.index.intersection(theirs.index)
    if seeds_of_both or ours.index.equals(theirs.index):
        return stats.ttest_rel(ours[shared], theirs[shared]).pvalue
    return stats.ttest_ind(ours, theirs, equal_var=False).pvalue


def test_pages_say_which_verdicts_hang_on_a_rule_that_came_late():
    claims = pd.read_parquet(ROOT / "results" / "small" / "tables" / "claims.parquet")
    tested = claims[claims["p"] != "–"]
    decided = int((~tested["verdict"].str.startswith("undecided")).sum())
    assert len(tested) == len(TESTED), "a claim is tested that TESTED has not"
    paired, before = ([p_of(*key, shared) for key in TESTED] for shared in (True, False))
    assert sum(p <= 0.05 for p in paired) == decided, "a correction within a family decides, too"
    corrected = [multipletests(ps, method="holm")[1] for ps in (paired, before)]
    left = [(ps <= 0.05).sum() for ps in corrected]
    said = f"As one family the {len(TESTED)} tests leave {left[0]} of the {decided} verdicts"
    assert f"{said}, and {left[1]} where ten and five are compared by Welch's test as well." in STATISTICS
    assert f"not table by table, {decided - left[0]} of the {decided} verdicts would be undecided" in EVIDENCE
    for (run, evaluation, _), p, *ps in zip(TESTED, paired, *corrected, strict=True):
        row = f"| `{run}`, {evaluation} | {ps[0]:.3f} | {ps[1]:.3f} |"
        assert (row in STATISTICS) == (p <= 0.05 < max(ps)), row
    total = families().total()
    stand = sum(p < 0.05 / total for p in paired)
    assert f"{stand} of {decided} verdicts stand, with a p below 0.05 / {total}." in STATISTICS
    small = "mask_r8_r60", "finetune"
    alone = stats.ttest_ind(scores("default", "finetune"), scores(*small), equal_var=False).pvalue
    assert f"has a p of {p_of(*small, 0.0, True):.3f} in pairs and of {alone:.2f} without them" in EVIDENCE


def test_the_rate_of_bins_is_as_the_page_says():
    other, bins = scores("target_bins8_lr_x3", "finetune"), scores("target_bins8_192", "finetune")
    low, high = stats.ttest_rel(other, bins).confidence_interval(0.95)
    said = f"bins reach {other.mean():.1f}, which differs from theirs at the default's rate by"
    assert f"{said} +{(other - bins).mean():.1f} [−{-low:.1f}, +{high:.1f}]." in EVIDENCE


def test_the_length_of_bins_is_as_the_page_says():
    bins, (pixels,) = scores("target_bins8_x3", "finetune"), scores("default_x3", "finetune")
    said = "(`target_bins8_x3`) three pre-trainings with bins reach"
    assert len(bins) == 3
    assert f"{said} {bins.min():.1f} to {bins.max():.1f}, the one with pixels (`default_x3`) {pixels:.1f}," in EVIDENCE


def test_the_order_of_masks_hangs_on_the_one_that_leaves_a_single_patch():
    cells = facts(Sheets(ROOT / "config"), "small")
    published = {cell["run"]: float(cell["value"]) for cell in cells.cells("figure3a").values()}
    ours = {
        file.parent.name: scores(file.parent.name, "finetune").mean()
        for file in EVALUATED
        if file.parent.name in published
    }
    masks = sorted(ours)
    octaves = {run: max(math.log2(10 / published[run]), math.log2(published[run] / 20), 0.0) for run in masks}
    whole, without = (
        rank_correlation([ours[run] for run in some], [-octaves[run] for run in some]).interval
        for some in (masks, [run for run in masks if run != "mask_r32_r90"])
    )
    assert whole[0] > 0 > without[0] and "not without the mask that leaves one patch of 16 visible" in EVIDENCE
    table = pd.read_parquet(ROOT / "results" / "small" / "tables" / "mask_ranks.parquet").set_index(
        ["order", "against"]
    )
    shown = table.loc[("our top-1 (%)", "nearness of the paper's AvgDist to its ridge"), "rank correlation"]
    assert shown.endswith(f"[+{whole[0]:.2f}, +{whole[1]:.2f}]")
    masks = pd.read_parquet(ROOT / "results" / "small" / "avg_dist.parquet").set_index(["run", "metric", "part"])[
        "value"
    ]
    own = masks["default", "avg_dist", "tokens"]
    assert f"the default's AvgDist is {own:.1f} of 32 px, or {6 * own:.0f} of 192" in EVIDENCE
    hidden = masks["mask_r32_r10", "hidden_share", ""], masks["mask_r32_r90", "hidden_share", ""]
    assert f"(0.1 hides {hidden[0]:.3f}, 0.9 hides {hidden[1]:.2f})" in EVIDENCE


def test_it_has_fewer_than_130_lines():
    assert len(README.splitlines()) < 130


def test_every_link_leads_somewhere():
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", README):
        assert target.startswith("https://") or (ROOT / target).exists(), target
