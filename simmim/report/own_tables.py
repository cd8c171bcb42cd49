"""The tables that ask our own questions: does pre-training help, does it learn, which block is best?"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pandas as pd

from simmim.report.measurements import (
    HEADLINE_METRICS,
    SEEDS_FOR_A_MEAN,
    Measurement,
    evaluation_label,
    in_order,
    measurement,
    metric_label,
    number,
    seeds_ahead,
    signed,
    spread_of_difference,
)
from simmim.report.names import Facts
from simmim.report.paper_tables import LINEAR_NOTE, TOO_FEW, status
from simmim.report.table import NOT_RUN, NOTHING, Line, Table, table

SEEDS_NOTE = f"Mean ± standard deviation over seeds where there are at least {SEEDS_FOR_A_MEAN}, otherwise every value."

_AREA_WORDS = {"masked": "masked area", "full": "full image"}


def scratch(frame: pd.DataFrame, scale: str, facts: Facts) -> Table:
    """Each pre-trained run beside the same encoder without pre-training, per task and metric."""
    tasks = in_order(frame.loc[frame["metric"].isin(HEADLINE_METRICS), "task"])
    lines = [
        _scratch_line(frame, scale, run, baseline, task, metric, facts)
        for run, baseline in facts.baselines.items()
        for task in tasks
        for metric in HEADLINE_METRICS
        if measurement(frame, run, task, metric)
    ]
    caption = (
        f"{SEEDS_NOTE} From scratch: the same encoder with random weights, put through the same evaluation with the "
        "same labels. Spread: root of the sum of both variances; only beyond it is a run called better or worse. Seeds "
        "ahead: in how many seeds the pre-trained one is better. Runs without a row for a task are not listed under it."
    )
    return table("scratch", "Pre-trained against from scratch", caption, scale, lines)


def pretraining(frame: pd.DataFrame, scale: str, facts: Facts) -> Table:
    """Loss on held-out images against that of predicting each image's mean visible colour, per run and seed."""
    lines = []
    for run, area in facts.loss_areas.items():
        mine = frame[(frame["run"] == run) & (frame["task"] == "pretrain")]
        seeds = sorted(set(mine["seed"])) or [None]
        lines += [_pretraining_line(mine[mine["seed"] == seed], scale, run, seed, area, facts) for seed in seeds]
    caption = (
        "L1 on the hidden pixels of held-out images under fixed masks, in units of the channels' standard deviation, "
        "whatever area the run was trained on. The baseline predicts the mean colour of each image's visible pixels. "
        "Masks differ between runs with different masking: compare a run with its own baseline."
    )
    return table("pretraining", "Does pre-training learn?", caption, scale, lines)


def probe(frame: pd.DataFrame, scale: str, facts: Facts) -> Table:
    """Top-1 of a linear classifier on every block's features; the chosen block is the number that counts."""
    lines = []
    for run, task in frame[["run", "task"]].drop_duplicates().itertuples(index=False):
        mine = frame[(frame["run"] == run) & (frame["task"] == task)]
        blocks = sorted({d for d in mine["detail"] if d.startswith("block ")}, key=block_number)
        chosen = measurement(mine, run, task, "chosen_block", "") or measurement(mine, run, task, "chosen_block")
        counts = Counter(int(value) for value in chosen.values) if chosen else Counter()
        for detail in ["chosen", *blocks]:
            found = measurement(mine, run, task, "top1", detail)
            lines.append(_probe_line(found, scale, run, task, detail, counts, facts))
    caption = (
        f"{SEEDS_NOTE} The block is chosen on a held-out part of the training set, never on the test images; "
        f"'chosen by' counts the seeds that chose a block. {LINEAR_NOTE}"
    )
    return table("probe", "Linear probe of every block", caption, scale, lines)


def data(frame: pd.DataFrame, scale: str, card: Mapping[str, Any], source: str, facts: Facts) -> Table:
    """How far plain colour gets on these data, beside what the encoders get on them."""
    lines = [
        _baseline_line(f"{method}, {labels_words(labels)}", value, scale, source)
        for labels, methods in card["colour_baselines"].items()
        for method, value in methods.items()
    ]
    for run, task in frame[["run", "task"]].drop_duplicates().itertuples(index=False):
        found = measurement(frame, run, task, "top1")
        if found:
            kind = "pre-trained" if run in facts.loss_areas else "random encoder"
            cells = {
                "what": f"{evaluation_label(task)}, {run} ({kind})",
                "top-1 (%)": found.text,
                "seeds": str(len(found.seeds)),
                "scale": scale,
                "status": status(found, scale, run, task, facts),
            }
            lines.append(Line(cells, run, task, "top1", None, {"top-1 (%)": found}))
    caption = (
        f"{SEEDS_NOTE} A classifier of colours alone shows how much of the task needs no learnt features; a number "
        "above it is what a network adds."
    )
    return table("data", "Colour alone, and the encoders, on the same labels", caption, scale, lines)


def labels_words(key: str) -> str:
    """'50 labels a class' of 'top1_50_labels_a_class'."""
    return key.removeprefix("top1_").replace("_", " ")


def block_number(detail: str) -> int:
    """3 of 'block 3'."""
    return int(re.search(r"\d+", detail).group())


def _scratch_line(
    frame: pd.DataFrame, scale: str, run: str, baseline: str, task: str, metric: str, facts: Facts
) -> Line:
    mine, base = measurement(frame, run, task, metric), measurement(frame, baseline, task, metric)
    cells = {
        "run": run,
        "task": evaluation_label(task),
        "measure": metric_label(metric),
        "pre-trained": mine.text if mine else NOT_RUN,
        "from scratch": base.text if base else NOT_RUN,
        "difference": NOTHING,
        "spread": NOTHING,
        "beyond spread?": NOT_RUN,
        "seeds ahead": NOTHING,
        "seeds": f"{len(mine.seeds) if mine else 0} / {len(base.seeds) if base else 0}",
        "scale": scale,
        "status": status(mine if base else None, scale, run, task, facts),
    }
    if mine and base:
        cells |= _scratch_comparison(mine, base)
    measured = {"pre-trained": mine, "from scratch": base}
    return Line(cells, run, task, metric, None, {column: found for column, found in measured.items() if found})


def _scratch_comparison(mine: Measurement, base: Measurement) -> dict[str, str]:
    ahead = {"seeds ahead": seeds_ahead(mine, base)}
    if not (mine.claims_mean and base.claims_mean):
        return ahead | {"beyond spread?": TOO_FEW}
    difference, spread = mine.mean - base.mean, spread_of_difference(mine, base)
    beyond = "yes, better" if difference > 0 else "yes, worse"
    verdict = beyond if abs(difference) > spread else "no"
    return ahead | {"difference": signed(difference, 1), "spread": number(spread, 1), "beyond spread?": verdict}


def _pretraining_line(rows: pd.DataFrame, scale: str, run: str, seed: int | None, area: str, facts: Facts) -> Line:
    loss = measurement(rows, run, "pretrain", "heldout_loss")
    base = measurement(rows, run, "pretrain", "heldout_loss_mean_colour")
    missing = facts.misfits.get(run, NOT_RUN)
    cells = {
        "run": run,
        "seed": NOTHING if seed is None else str(seed),
        "trained on": _AREA_WORDS.get(area, area),
        "held-out loss": loss.text if loss else missing,
        "mean colour": base.text if base else NOTHING if loss else missing,
        "difference": signed(loss.mean - base.mean, 4) if loss and base else NOTHING,
        "share of baseline": f"{number(100 * loss.mean / base.mean, 1)} %" if loss and base else NOTHING,
        "scale": scale,
        "status": f"measured at {scale} scale" if loss else missing,
    }
    measured = {"held-out loss": loss, "mean colour": base}
    return Line(cells, run, "pretrain", "heldout_loss", None, {c: found for c, found in measured.items() if found})


def _probe_line(
    found: Measurement | None, scale: str, run: str, task: str, detail: str, counts: Counter, facts: Facts
) -> Line:
    votes = sum(counts.values()) if detail == "chosen" else counts[block_number(detail)]
    cells = {
        "run": run,
        "block": detail.removeprefix("block "),
        "top-1 (%)": found.text if found else NOT_RUN,
        "chosen by": f"{votes} of {sum(counts.values())} seeds" if counts else NOTHING,
        "seeds": str(len(found.seeds)) if found else "0",
        "scale": scale,
        "status": status(found, scale, run, task, facts),
    }
    return Line(cells, run, task, "top1", None, {"top-1 (%)": found} if found else {})


def _baseline_line(what: str, value: float, scale: str, source: str) -> Line:
    cells = {
        "what": what,
        "top-1 (%)": number(value, 1),
        "seeds": NOTHING,
        "scale": scale,
        "status": f"measured at {scale} scale when the data were made",
    }
    stored = {"column": "top-1 (%)", "metric": "top1", "detail": what, "value": float(value), "source": source}
    return Line(cells, "", "", "top1", None, {}, (stored,))
