"""The README's numbers are those of `results/`, and it is short enough to be read."""

import re
from pathlib import Path

import pandas as pd

MEASURE = " on CIFAR-10, top-1 (%)"  # which stands above the README's table
ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def claims() -> list[str]:
    """The lines that the README's table must have: every claim of scale small that rests on three seeds."""
    table = pd.read_parquet(ROOT / "results" / "small" / "tables" / "claims.parquet")
    measured = table[(table["difference"] != "–") & ~table["rests on"].str.contains("seed")]
    return [
        f"| {row['claim']} | {row['measured by'].removesuffix(MEASURE)} | {row['first']} | {row['second']} | "
        f"{row['verdict']} ({row['difference']}) |"
        for row in measured.to_dict("records")
    ]


def test_the_claims_are_those_of_the_results():
    shown = [line for line in README.splitlines() if line.startswith("| ") and line.endswith(") |") and " ± " in line]
    assert shown == claims(), "\n".join(["write into README.md:", *claims()])


def test_it_has_fewer_than_130_lines():
    assert len(README.splitlines()) < 130


def test_every_link_leads_somewhere():
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", README):
        assert target.startswith("https://") or (ROOT / target).exists(), target
