"""What other machines gave for the demo, in words and tables: blocks of the pages that `evidence.py` writes."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from simmim.config.sheets import Sheets
from simmim.report import elsewhere
from simmim.report.facts import facts
from simmim.report.measurements import decimals_of, metric_label, number, signed
from simmim.report.scale_facts import ScaleFacts
from simmim.report.table_file import markdown_table

ROOT = Path(__file__).parents[1]
NOT_YET = "Not run yet.\n"
FEWEST = 3  # settings of others that a machine is held against: by Student's t, two give 31 standard deviations


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
    of = f"{count} {'setting' if count == 1 else 'settings'} of CPU, number format and threads"
    return f"95 % ranges for one setting more, from {of}: {'; '.join(parts)}.\n"


def gaps() -> str:
    """How far the reference run is ahead of the others by fine-tuning, from the least to the most of all settings."""
    scale, known = demo().scale, demo().known
    scores = known[(known["evaluation"] == "finetune") & (known["metric"] == "top1")]
    by_run = scores.pivot_table(index=elsewhere.SETTING, columns="run", values="value")
    if scale.reference not in by_run:
        return NOT_YET
    ahead = by_run.rsub(by_run[scale.reference], axis=0)
    parts = [
        f"{signed(ahead[run].min(), 1)} to {signed(ahead[run].max(), 1)} points ahead of '{scale.run_label(run)}'"
        for run in scale.encoders
        if run in ahead and run != scale.reference
    ]
    of = f"By {scale.evaluation_label('finetune')}, over {len(by_run)} settings"
    return f"{of}, '{scale.run_label(scale.reference)}' is {'; '.join(parts)}.\n"


def foreseen() -> str:
    """Of each machine, how many of its numbers lie where the settings of all others, if they are enough, put them."""
    known, said = demo().known, []
    for machine, own in known.groupby("machine"):
        others = known[known["machine"] != machine]
        ranges, count = elsewhere.ranges(others), len(others[elsewhere.SETTING].drop_duplicates())
        both = own.merge(ranges[ranges["settings"] >= FEWEST], on=[*elsewhere.NUMBER, "config_hash"])
        if len(both):
            said.append(_foreseen(both, f"the {count} settings of other machines"))
        elif count:
            said.append(f"{machine} is held against none: fewer than {FEWEST} settings of other machines are known.\n")
    return "\n".join(said) or NOT_YET


def _foreseen(both: pd.DataFrame, others: str) -> str:
    """Numbers of a machine beside the ranges of others; those that are the same in all settings have none."""
    judged, same = both.dropna(subset=["low"]), both[both["least"] == both["most"]]
    within = _count_within(judged)
    between, equal = (_count_within(each.assign(low=each["least"], high=each["most"])) for each in (judged, same))
    scores = judged[judged["metric"].map(metric_label).str.endswith("(%)")]
    width = number((scores["high"] - scores["low"]).median(), 1)
    said = (
        f"Of {len(judged)} numbers of {both['machine'].iloc[0]}, {within} lie within the ranges that {others} alone "
        f"give (half of those of scores are wider than {width} points), and {between} between the lowest and the "
        "highest of these."
    )
    if len(same):
        said += f" {len(same)} more are the same in all of these settings; {equal} of them are so here, too."
    return f"{said}\n"


def _count_within(rows: pd.DataFrame) -> int:
    return sum(elsewhere.lies_within(row) for _, row in rows.iterrows())


def drift() -> str:
    """How far apart settings put a score of one pre-training, at most."""
    scale, spans = demo().scale, demo().spans
    if spans.empty:
        return NOT_YET
    widest = spans.assign(width=spans["most"] - spans["least"]).groupby("evaluation")["width"].max()
    parts = [f"{number(widest[name], 1)} points by {scale.evaluation_label(name)}" for name in ("finetune", "inat")]
    return f"The demo's scores differ by up to {' and '.join(parts)}, over {len(demo().settings)} of these settings.\n"


def _range(row: pd.Series) -> str:
    """`52.1 to 58.2`; of what all settings gave alike, and of what one gave, the number."""
    low, high, least = (number(row[name], decimals_of(row["metric"])) for name in ("low", "high", "least"))
    if math.isnan(row["low"]):
        return f"{least} in {'every setting' if row['settings'] > 1 else 'one setting'}"
    return low if low == high else f"{low} to {high}"
