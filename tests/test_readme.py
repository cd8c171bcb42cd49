"""The numbers of README and docs/evidence.md are those of `results/`, and the README is short enough to be read."""

import re
import sys
from pathlib import Path

import pandas as pd
import pytest

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))
import evidence

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


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


def test_it_has_fewer_than_130_lines():
    assert len(README.splitlines()) < 130


def test_every_link_leads_somewhere():
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", README):
        assert target.startswith("https://") or (ROOT / target).exists(), target
