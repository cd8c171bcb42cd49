"""The numbers of README and docs/evidence.md are those of `results/`, and the README is short enough to be read."""

import re
import sys
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
import yaml
from scipy import stats

from simmim.config.sheets import Sheets
from simmim.report.facts import facts

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))
import evidence

ROOT = Path(__file__).parents[1]
EVALUATIONS = ("finetune", "probe")
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
    lines = (evidence.accuracy_claims() + evidence.single_claims() + evidence.other_claims()).splitlines()
    shown = [
        line.split(" | ")[0] for line in lines if line.startswith("| ") and not line.startswith(("| claim", "| ---"))
    ]
    assert sorted(shown) == sorted(f"| {claim}" for claim in claims[claims["ours"] != "–"]["claim"])


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
    """Top-1 by seed, straight from the records."""
    rows = pd.read_parquet(ROOT / "results" / "small" / "evaluate" / run / f"{evaluation}.parquet")
    return rows[(rows["metric"] == "top1") & rows["part"].isin(["", "chosen"])].set_index("seed")["value"]


def test_the_page_of_statistics_counts_the_claims_that_scale_small_will_test():
    count, total = len(families()), families().total()
    assert f"as one of the {total} that scale `small` will test" in STATISTICS
    assert f"the {count} that scale `small` will have {5 * count} %, or {0.05 * count:g} false verdicts" in STATISTICS


def test_pages_say_which_verdict_hangs_on_its_family():
    keys = [
        (run, name) for run in ("mask_r8_r60", "mask_block32_r80", "loss_full", "random_swin") for name in EVALUATIONS
    ]
    pairs = {(run, name): (scores("default", name), scores(run, name)) for run, name in keys}
    ps = {key: stats.ttest_rel(*pair).pvalue for key, pair in pairs.items() if pair[0].index.equals(pair[1].index)}
    holding, total = [key for key, p in ps.items() if p <= 0.05], families().total()
    (weakest,) = (key for key in holding if ps[key] > 0.05 / total)
    assert weakest == ("mask_r8_r60", "finetune") and len(ps) == len(pairs)
    counted = f"Of the {len(holding)} verdicts of this scale that hold by a test of pairs, {len(holding) - 1} stand"
    assert counted in STATISTICS
    assert f"is below 0.05 / {total}. " in STATISTICS and f"its p is {ps[weakest]:.3f}. " in STATISTICS
    alone = stats.ttest_ind(*pairs[weakest], equal_var=False).pvalue
    head = stats.ttest_ind(scores("default", "finetune") + 1, scores("head_mlp", "finetune"), equal_var=False).pvalue
    assert f"So does that a linear head does not lose: its p, by Welch's test, is {head:.3f}." in STATISTICS
    assert f"has a p of {ps[weakest]:.3f} in pairs and of {alone:.2f} without them" in EVIDENCE


def test_it_has_fewer_than_130_lines():
    assert len(README.splitlines()) < 130


def test_every_link_leads_somewhere():
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", README):
        assert target.startswith("https://") or (ROOT / target).exists(), target
