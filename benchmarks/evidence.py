"""The tables of README.md and docs/evidence.md, from what lies in results/small; a test says when they are not these.

    python benchmarks/evidence.py

A page says where a table stands by a mark, `<!-- scratch, made by benchmarks/evidence.py -->`; it ends at the next
`<!-- end -->`. What has not been measured is no line of a table.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from simmim.report.table_file import markdown_table
from simmim.storage import records
from simmim.storage.files import write_text

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "README.md", ROOT / "docs" / "evidence.md"
SCALE = "small"
BLOCK = re.compile(r"(<!-- (\w+), made by benchmarks/evidence.py -->\n).*?(<!-- end -->)", re.DOTALL)
ACCURACY = " on CIFAR-10, top-1 (%)"  # said above a table that leaves it out
CLAIMS = ("claim", "measured by", "paper", "ours", "n", "power", "verdict")
VERDICTS = {"holds": "hold", "contradicted": "are contradicted", "undecided": "are undecided"}


def table(name: str) -> pd.DataFrame:
    """A table of the scale; no lines where it has none."""
    file = ROOT / "results" / SCALE / "tables" / f"{name}.parquet"
    return pd.read_parquet(file) if file.is_file() else pd.DataFrame({"status": []}, dtype=str)


def measured(name: str) -> pd.DataFrame:
    """Its lines that have a number."""
    found = table(name)
    return found[found["status"].str.startswith("measured")]


def lines(found: pd.DataFrame, columns: Sequence[str]) -> str:
    """A table in Markdown."""
    if found.empty:
        return "Not run yet.\n"
    return markdown_table(columns, found[list(columns)].itertuples(index=False)) + "\n"


def accuracy_claims() -> str:
    """The claims about accuracy that were measured."""
    found = measured("claims")
    found = found[found["measured by"].str.endswith(ACCURACY)]
    shown = found.assign(**{"measured by": found["measured by"].str.removesuffix(ACCURACY)})
    return lines(shown.assign(paper=shown["paper"].str.partition(" (")[0]), CLAIMS)


def other_claims() -> str:
    """Those about losses, costs and masks."""
    found = measured("claims")
    return lines(found[~found["measured by"].str.endswith(ACCURACY)], CLAIMS)


def verdicts() -> str:
    """How many claims there are, and how they came out."""
    found, every = measured("claims"), table("claims")
    said = found["verdict"].str.partition(" ")[0].value_counts()
    counts = ", ".join(f"{said.get(word, 0)} {text}" for word, text in VERDICTS.items())
    return f"Of {len(every)} claims of the paper {len(found)} were measured: {counts}.\n"


def cost() -> str:
    """What the pre-trainings of the scale took."""
    found = records.read(sorted((ROOT / "results" / SCALE).glob("pretrain/*/*/train.parquet")))
    seconds = found[found["metric"] == "train_seconds"]
    hours = seconds["value"].sum() / 3600
    return f"{len(seconds)} pre-trainings of {seconds['run'].nunique()} rows: {hours:.0f} hours of one CPU core.\n"


BLOCKS = {
    "accuracy": accuracy_claims,
    "others": other_claims,
    "verdicts": verdicts,
    "cost": cost,
    "scratch": lambda: lines(
        measured("scratch"), ("run", "task", "pre-trained", "from scratch", "difference", "n", "verdict")
    ),
    "masks": lambda: lines(measured("table1"), ("row", "paper", "ours", "n", "direction")),
    "ranks": lambda: lines(measured("mask_ranks"), ("order", "against", "masks", "rank correlation")),
    "otherwise": lambda: lines(
        measured("done_right"), ("done otherwise", "by", "measured here by", "difference", "n", "verdict")
    ),
    "lengths": lambda: lines(
        measured("image_passes"), ("run", "image passes", "hours of pre-training", "measured by", "difference", "n")
    ),
}


def with_tables(text: str) -> str:
    """A page with all of its tables as they are now."""
    return BLOCK.sub(lambda block: f"{block[1]}\n{BLOCKS[block[2]]()}\n{block[3]}", text)


def main() -> None:
    for page in PAGES:
        write_text(page, with_tables(page.read_text(encoding="utf-8")))


if __name__ == "__main__":
    main()
