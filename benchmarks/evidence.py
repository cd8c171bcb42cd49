"""The tables of README.md and of pages in docs, from what lies in results; a test says when they are not these.

    python benchmarks/evidence.py

A page says where a table stands by a mark, `<!-- scratch, made by benchmarks/evidence.py -->`; it ends at the next
`<!-- end -->`. What has not been measured is no line of a table.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import pandas as pd
from demo_ranges import NOT_YET, ROOT, demo_scores, drift, foreseen, gaps, machines

from simmim.config.sheets import Sheets
from simmim.report.facts import facts
from simmim.report.measurements import count_of_pretrainings, metric_label
from simmim.report.table_file import markdown_table
from simmim.report.verdicts import UNDECIDED
from simmim.storage import records
from simmim.storage.files import write_text

PAGES = ROOT / "README.md", *(ROOT / "docs" / f"{page}.md" for page in ("index", "demo", "evidence"))
SCALE = "small"
BLOCK = re.compile(r"(<!-- (\w+), made by benchmarks/evidence.py -->\n).*?(<!-- end -->)", re.DOTALL)
ACCURACY = " on CIFAR-10, top-1 (%)"  # said above a table that leaves it out
CLAIMS = ("claim", "measured by", "paper", "ours", "n", "power", "verdict")
VERDICTS = {  # of one claim, of several
    "holds": ("holds", "hold"),
    "contradicted": ("is contradicted", "are contradicted"),
    "undecided": ("is undecided", "are undecided"),
}


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
        return NOT_YET
    return markdown_table(columns, found[list(columns)].itertuples(index=False)) + "\n"


def accuracy_claims() -> str:
    """The claims about accuracy that several pre-trainings of each row can decide."""
    found = _about_accuracy()
    return lines(found[~_is_single(found)], CLAIMS)


def single_claims() -> str:
    """Those with one pre-training of a row, which can decide nothing."""
    found = _about_accuracy()
    return lines(found[_is_single(found)], ("claim", "measured by", "paper", "ours"))


def _about_accuracy() -> pd.DataFrame:
    found = measured("claims")
    found = found[_is_accuracy(found)]
    within = found["relation"].str.extract(r"( \(within .*\))", expand=False).fillna("")  # the tolerance of a claim
    shown = found.assign(
        **{"measured by": found["measured by"].str.removesuffix(ACCURACY)}, claim=found["claim"] + within
    )
    return shown.assign(paper=shown["paper"].str.partition(" (")[0])


def _is_accuracy(found: pd.DataFrame) -> pd.Series:
    return found["measured by"].str.endswith(ACCURACY)


def _is_of_masks(found: pd.DataFrame) -> pd.Series:
    return found["measured by"].str.endswith(metric_label("avg_dist"))


def _is_single(found: pd.DataFrame) -> pd.Series:
    return found["verdict"] == f"{UNDECIDED} ({count_of_pretrainings(1)})"


def other_claims() -> str:
    """Those about losses and costs."""
    found = measured("claims")
    return lines(found[~_is_accuracy(found) & ~_is_of_masks(found)], CLAIMS)


def verdicts() -> str:
    """How many claims there are, what they are about, and how they came out."""
    found = measured("claims")
    of_masks = _is_of_masks(found)
    of_accuracy, single = _is_accuracy(found), _is_single(found)
    ours = of_accuracy & found["paper"].str.startswith("not printed")
    parts = {
        "about what masks are like, which takes no training": of_masks,
        "about accuracy": of_accuracy & ~single,
        "about accuracy with one pre-training of a row": of_accuracy & single,
        "about losses and costs": ~of_masks & ~of_accuracy,
    }
    said = [f"{which.sum()} {what} ({_counts(found[which])})" for what, which in parts.items() if which.any()]
    return (
        f"Of {len(table('claims'))} claims {len(found)} were measured: {', '.join(said)}. For {ours.sum()} "
        "of those about accuracy the paper prints no number: that this measure shows them is our claim.\n"
    )


def _counts(found: pd.DataFrame) -> str:
    """`3 hold, 0 are contradicted, 1 is undecided`."""
    said = found["verdict"].str.partition(" ")[0].value_counts()
    return ", ".join(f"{said.get(word, 0)} {texts[int(said.get(word, 0) != 1)]}" for word, texts in VERDICTS.items())


def cost() -> str:
    """How many pre-trainings the runs of the scale have, and what these took."""
    found = records.read(sorted((ROOT / "results" / SCALE).glob("pretrain/*/*/train.parquet")))
    seconds = found[(found["metric"] == "train_seconds") & (found["value"] > 0)]  # a random encoder has none
    hours = seconds["value"].sum() / 3600
    runs = seconds["run"].value_counts().value_counts().sort_index(ascending=False)
    each = ", ".join(f"{count} of {'each of ' * (of > 1)}{of} run{'s' * (of > 1)}" for count, of in runs.items())
    return f"{len(seconds)} pre-trainings, {each}: {hours:.0f} hours in all, each on one CPU core.\n"


def picture() -> str:
    """What stands under the first picture: the scale, the length and the cost of the run that it shows."""
    (run, *_) = facts(Sheets(ROOT / "config"), SCALE).figure_runs["reconstructions"]
    found = table("image_passes")
    found = found[found["run"] == run] if "run" in found else found
    if found.empty:
        return NOT_YET
    passes, hours = found[["image passes", "hours of pre-training"]].iloc[0]
    return (
        f"*Scale `{SCALE}`, not the paper's setting: CIFAR-10 at its 32 px, a micro Swin, {passes} image passes, "
        f"{hours} hours on one CPU core. Validation images, what the model sees of them, its prediction, and the "
        "prediction in its place.*\n"
    )


def lengths() -> str:
    """Runs that differ in their length alone, and their slopes, which the caption of the table states."""
    found, caption = measured("image_passes"), ROOT / "results" / SCALE / "tables" / "image_passes.md"
    if found.empty:
        return NOT_YET
    slopes = re.search(r"Slope of .*?: (.*)\.$", caption.read_text(encoding="utf-8"), re.MULTILINE)[1]
    columns = "image passes", "hours of pre-training", "measured by", "pre-trained", "from scratch", "difference", "n"
    return f"{lines(found, columns)}\nSlopes, in points: {slopes}.\n"


BLOCKS = {
    "picture": picture,
    "machines": machines,
    "demo_scores": demo_scores,
    "foreseen": foreseen,
    "gaps": gaps,
    "settings": drift,
    "accuracy": accuracy_claims,
    "single": single_claims,
    "others": other_claims,
    "verdicts": verdicts,
    "cost": cost,
    "ranks": lambda: lines(measured("mask_ranks"), ("order", "against", "masks", "rank correlation")),
    "otherwise": lambda: lines(
        measured("done_right"), ("done otherwise", "by", "measured here by", "difference", "n", "verdict")
    ),
    "lengths": lengths,
}


def with_tables(text: str) -> str:
    """A page with all of its tables as they are now."""
    return BLOCK.sub(lambda block: f"{block[1]}\n{BLOCKS[block[2]]()}\n{block[3]}", text)


def main() -> None:
    for page in PAGES:
        write_text(page, with_tables(page.read_text(encoding="utf-8")))


if __name__ == "__main__":
    main()
