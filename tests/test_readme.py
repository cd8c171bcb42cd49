"""The README's numbers are those of `results/`, and it is short enough to be read."""

import re
from pathlib import Path

import pandas as pd

MEASURE = " on CIFAR-10, top-1 (%)"  # which stands above the README's table
COLUMNS = ("claim", "measured by", "paper", "ours", "n", "power", "verdict")
ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def claims() -> list[str]:
    """The lines that the README's table must have: every claim about accuracy that was measured at scale small."""
    table = pd.read_parquet(ROOT / "results" / "small" / "tables" / "claims.parquet")
    measured = table[(table["ours"] != "–") & table["measured by"].str.endswith(MEASURE)]
    shown = measured.assign(**{"measured by": measured["measured by"].str.removesuffix(MEASURE)})
    shown["paper"] = shown["paper"].str.partition(" (")[0]
    return [f"| {' | '.join(row)} |" for row in shown[list(COLUMNS)].itertuples(index=False, name=None)]


def test_the_claims_are_those_of_the_results():
    _, table = README.split(f"| {' | '.join(COLUMNS)} |\n")
    _, *shown = table.partition("\n\n")[0].splitlines()
    assert shown == claims(), "\n".join(["write into README.md:", *claims()])


def test_it_has_fewer_than_130_lines():
    assert len(README.splitlines()) < 130


def test_every_link_leads_somewhere():
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", README):
        assert target.startswith("https://") or (ROOT / target).exists(), target
