"""The tables of README.md and of pages in docs, from what lies in results; a test says when they are not these.

    python benchmarks/evidence.py

A page says where a table stands by a mark, `<!-- scratch, made by benchmarks/evidence.py -->`; it ends at the next
`<!-- end -->`. What has not been measured is no line of a table.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from simmim.config.claims import WITH_TOLERANCE
from simmim.config.sheets import Sheets
from simmim.report import elsewhere
from simmim.report.facts import facts
from simmim.report.measurements import count_of_pretrainings, decimals_of, metric_label, number
from simmim.report.scale_facts import ScaleFacts
from simmim.report.table_file import markdown_table
from simmim.report.verdicts import UNDECIDED
from simmim.storage import records
from simmim.storage.files import write_text

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "README.md", ROOT / "docs" / "demo.md", ROOT / "docs" / "evidence.md"
SCALE = "small"
BLOCK = re.compile(r"(<!-- (\w+), made by benchmarks/evidence.py -->\n).*?(<!-- end -->)", re.DOTALL)
ACCURACY = " on CIFAR-10, top-1 (%)"  # said above a table that leaves it out
NOT_YET = "Not run yet.\n"
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
    found = found[found["measured by"].str.endswith(ACCURACY)]
    shown = found.assign(**{"measured by": found["measured by"].str.removesuffix(ACCURACY)})
    return shown.assign(paper=shown["paper"].str.partition(" (")[0])


def _is_single(found: pd.DataFrame) -> pd.Series:
    return found["verdict"] == f"{UNDECIDED} ({count_of_pretrainings(1)})"


def other_claims() -> str:
    """Those about losses, costs and masks."""
    found = measured("claims")
    return lines(found[~found["measured by"].str.endswith(ACCURACY)], CLAIMS)


def verdicts() -> str:
    """How many claims there are, what they are about, and how they came out."""
    found = measured("claims")
    of_masks = found["measured by"].str.endswith(metric_label("avg_dist"))
    of_accuracy = found["measured by"].str.endswith(ACCURACY)
    ours, single = of_accuracy & found["paper"].str.startswith("not printed"), _is_single(found)
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


def scratch() -> str:
    """Runs with several pre-trainings beside training from scratch."""
    found = measured("scratch")
    columns = "run", "task", "pre-trained", "from scratch", "difference", "n", "verdict"
    return lines(found[~_is_single(found)], columns)


def tolerance() -> str:
    """What the tolerance of the scale leaves room for: an ablation by which the paper loses more."""
    claims = facts(Sheets(ROOT / "config"), SCALE).claims
    points = {each.tolerance for each in claims if each.relation in WITH_TOLERANCE and each.evaluation == "finetune"}
    found = measured("claims")
    found = found[
        found["claim"].str.startswith("Loss on the masked") & found["measured by"].str.startswith("fine-tuning")
    ]
    if found.empty:
        return NOT_YET
    ours, paper = found[["ours", "paper"]].iloc[0]
    return (
        f"'Close to' and 'not worse than' take differences of up to {max(points):g} point of fine-tuning for none, and "
        "may hold where the paper counts a difference: the loss on the masked area is better than that on the full "
        f"image by {paper.partition(' ')[0]} there, and by {ours} here.\n"
    )


def cost() -> str:
    """How many pre-trainings the runs of the scale have, and what these took."""
    found = records.read(sorted((ROOT / "results" / SCALE).glob("pretrain/*/*/train.parquet")))
    seconds = found[(found["metric"] == "train_seconds") & (found["value"] > 0)]  # a random encoder has none
    hours = seconds["value"].sum() / 3600
    runs = seconds["run"].value_counts().value_counts().sort_index(ascending=False)
    each = ", ".join(f"{count} of {'each of ' * (of > 1)}{of} run{'s' * (of > 1)}" for count, of in runs.items())
    return f"{len(seconds)} pre-trainings, {each}: {hours:.0f} hours in all, each on one CPU core.\n"


@dataclass(frozen=True)
class Demo:
    """What machines gave for the demo, `known`, and the range of each score by evaluation, metric and run."""

    scale: ScaleFacts
    known: pd.DataFrame
    ranges: dict[tuple[str, str, str], str]


@functools.cache
def demo() -> Demo:
    """Without extra data sets, which no row of the table has room for."""
    scale = facts(Sheets(ROOT / "config"), "demo")
    known = elsewhere.read(ROOT / "results" / "demo_numbers.parquet")
    known = known[~known["dataset"].isin(scale.extra_sets)]
    rows = [row for _, row in elsewhere.ranges(known).iterrows()]
    return Demo(scale, known, {(row["evaluation"], row["metric"], row["run"]): _range(row) for row in rows})


def machines() -> str:
    """A row per score, a column per run."""
    scale, known = demo().scale, demo().known
    if known.empty:
        return NOT_YET
    runs = [run for run in scale.encoders if run in {*known["run"]}]
    rows = []
    for evaluation in ["pretrain", *scale.in_order({*known["evaluation"]} - {"pretrain"})]:
        for metric in known.loc[known["evaluation"] == evaluation, "metric"].unique():
            name = f"{scale.evaluation_label(evaluation)}, {metric_label(metric)}"
            rows.append((name, *(demo().ranges.get((evaluation, metric, run), "–") for run in runs)))
    settings = known[elsewhere.SETTING].drop_duplicates()
    names = settings["capability"] + " " + settings["precision"] + " " + settings["threads"].astype(str)
    of = "; ".join(f"{machine}: {', '.join(each)}" for machine, each in names.groupby(settings["machine"]))
    table = markdown_table(("score", *map(scale.run_label, runs)), rows)
    return f"Settings (kernels, number format, threads) of {of}.\n\n{table}\n"


def demo_scores() -> str:
    """The three first scores of the reference run beside training from scratch, in a sentence."""
    scale, ranges = demo().scale, demo().ranges
    if not ranges:
        return NOT_YET
    scratch, count = scale.baselines[scale.reference], len(demo().known[elsewhere.SETTING].drop_duplicates())
    parts = [
        f"{scale.evaluation_label(name)} {ranges[name, 'top1', scale.reference]} % "
        f"(without pre-training {ranges[name, 'top1', scratch]})"
        for name in ("finetune", "probe", "knn")
    ]
    words = "setting" if count == 1 else "settings"
    return f"Over {count} {words} of kernels, number format and threads: {'; '.join(parts)}.\n"


def drift() -> str:
    """How far apart settings put a score of one pre-training, at most."""
    known, scale = demo().known, demo().scale
    found = elsewhere.ranges(known)
    if found.empty:
        return NOT_YET
    widest = found.assign(width=found["high"] - found["low"]).groupby("evaluation")["width"].max()
    parts = [f"{number(widest[name], 1)} points by {scale.evaluation_label(name)}" for name in ("finetune", "inat")]
    settings = len(known[elsewhere.SETTING].drop_duplicates())
    return f"The demo's scores differ by up to {' and '.join(parts)}, over {settings} of these settings.\n"


def _range(row: pd.Series) -> str:
    low, high = (number(row[name], decimals_of(row["metric"])) for name in ("low", "high"))
    return low if low == high else f"{low} to {high}"


BLOCKS = {
    "machines": machines,
    "demo_scores": demo_scores,
    "settings": drift,
    "accuracy": accuracy_claims,
    "single": single_claims,
    "others": other_claims,
    "verdicts": verdicts,
    "tolerance": tolerance,
    "cost": cost,
    "scratch": scratch,
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
