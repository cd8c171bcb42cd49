"""What other machines gave for the demo, in words and tables: blocks of the pages that `evidence.py` writes."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from simmim.config.sheets import Sheets
from simmim.report import elsewhere
from simmim.report.facts import facts
from simmim.report.measurements import decimals_of, metric_label, number
from simmim.report.scale_facts import ScaleFacts
from simmim.report.table_file import markdown_table

ROOT = Path(__file__).parents[1]
NOT_YET = "Not run yet.\n"


@dataclass(frozen=True)
class Demo:
    """What machines gave for the demo.

    Args:
        known: their numbers.
        settings: kernels, number format and threads that these are of.
        spans: of each score, the lowest and the highest value, and the range of another one.
        ranges: the latter in words, by evaluation, metric and run.
    """

    scale: ScaleFacts
    known: pd.DataFrame
    settings: pd.DataFrame
    spans: pd.DataFrame
    ranges: dict[tuple[str, str, str], str]


@functools.cache
def demo() -> Demo:
    """Without extra data sets, which no row of the table has room for."""
    scale = facts(Sheets(ROOT / "config"), "demo")
    known = elsewhere.read(ROOT / "results" / "demo_numbers.parquet")
    known = known[~known["dataset"].isin(scale.extra_sets)]
    spans = elsewhere.ranges(known)
    ranges = {(row["evaluation"], row["metric"], row["run"]): _range(row) for _, row in spans.iterrows()}
    return Demo(scale, known, known[elsewhere.SETTING].drop_duplicates(), spans, ranges)


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
    settings = demo().settings
    names = settings["capability"] + " " + settings["precision"] + " " + settings["threads"].astype(str)
    of = "; ".join(f"{machine}: {', '.join(each)}" for machine, each in names.groupby(settings["machine"]))
    table = markdown_table(("score", *map(scale.run_label, runs)), rows)
    return f"Settings (kernels, number format, threads) of {of}.\n\n{table}\n"


def demo_scores() -> str:
    """The three first scores of the reference run beside training from scratch, in a sentence."""
    scale, ranges = demo().scale, demo().ranges
    if not ranges:
        return NOT_YET
    scratch, count = scale.baselines[scale.reference], len(demo().settings)
    parts = [
        f"{scale.evaluation_label(name)} {ranges[name, 'top1', scale.reference]} % "
        f"(without pre-training {ranges[name, 'top1', scratch]})"
        for name in ("finetune", "probe", "knn")
    ]
    words = "setting" if count == 1 else "settings"
    of = f"{count} {words} of CPU, number format and threads"
    return f"Where {of} lead to expect 19 of 20 others: {'; '.join(parts)}.\n"


def foreseen() -> str:
    """Of each machine, how many of its numbers lie where the settings of all others put them."""
    known, said = demo().known, []
    for machine, own in known.groupby("machine"):
        others = known[known["machine"] != machine]
        both = own.merge(elsewhere.ranges(others), on=[*elsewhere.NUMBER, "config_hash"]).dropna(subset=["low"])
        measured = both.assign(low=both["least"], high=both["most"])
        within, between = (sum(elsewhere.lies_within(row) for _, row in each.iterrows()) for each in (both, measured))
        count = len(others[elsewhere.SETTING].drop_duplicates())
        if len(both):
            said.append(
                f"Of {len(both)} numbers of {machine}, {within} lie within the ranges that the {count} settings of "
                f"other machines alone give, and {between} between the lowest and the highest of these.\n"
            )
    return "\n".join(said) or NOT_YET


def drift() -> str:
    """How far apart settings put a score of one pre-training, at most."""
    scale, spans = demo().scale, demo().spans
    if spans.empty:
        return NOT_YET
    widest = spans.assign(width=spans["most"] - spans["least"]).groupby("evaluation")["width"].max()
    parts = [f"{number(widest[name], 1)} points by {scale.evaluation_label(name)}" for name in ("finetune", "inat")]
    return f"The demo's scores differ by up to {' and '.join(parts)}, over {len(demo().settings)} of these settings.\n"


def _range(row: pd.Series) -> str:
    low, high = (number(row[name], decimals_of(row["metric"])) for name in ("low", "high"))
    return low if low == high else f"{low} to {high}"
