"""The paper's tables with our numbers beside them, and whether our numbers point the way the paper's do."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from simmim.report.measurements import (
    HEADLINE_METRICS,
    SEEDS_FOR_A_MEAN,
    Measurement,
    best_measurement,
    measurement,
    number,
    relative_cost,
    signed,
    spread_of_difference,
)
from simmim.report.names import REFERENCE_RUN, Facts, is_setting
from simmim.report.table import NOT_RUN, NOTHING, Line, Table, table

Paper = Mapping[tuple[str, str, str], Mapping[str, str]]

TOO_FEW = "too few seeds for a mean"
_TITLES = {
    "table1": "Table 1: masking strategy",
    "table2": "Table 2: prediction heads",
    "table3": "Table 3: prediction resolution",
    "table4": "Table 4: scope of the loss",
    "table5": "Table 5: prediction targets",
    "table6": "Table 6: ViT-B against other methods",
    "table7": "Table 7: scaling Swin on ImageNet-1K",
    "table8": "Table 8: the scaled architectures",
    "table9": "Table 9: learning-rate schedules",
    "table10": "Table 10: heads on downstream tasks",
    "table11": "Table 11: targets on downstream tasks",
    "table12": "Table 12: scaling on COCO and ADE20K",
    "table13": "Table 13: colour bins and prediction resolution",
    "appendix_e": "Appendix E: ResNet-50x4",
    "figure3a": "Figure 3a: AvgDist of the masks",
    "figure7": "Figure 7: AvgDist and downstream tasks",
    "released": "What the released code's own pages state",
}
# Why the linear column is low, beside every linear probe that is shown.
LINEAR_NOTE = (
    "Why SimMIM's linear numbers are low: it learns to predict raw pixels, so its last blocks serve that, and what "
    "tells classes apart is there but not linearly separable at the top; fine-tuning is the measure, the probe a "
    "comparison. The paper's 56.7 is its best intermediate layer: block 8 of ViT-B, the average of the patch tokens "
    "without the class token, by the authors' word (microsoft/SimMIM issue 14; they never released their probe). Ours "
    "trains a classifier on every block and takes the one that is best on held-out training images."
)
_FACTORS = {"x": 1, "%": 1, "M": 1, "G": 1, "B": 1000}  # of a unit behind a published number, in the records' unit


def paper_table(name: str, frame: pd.DataFrame, scale: str, paper: Paper, facts: Facts) -> Table:
    """A table of the paper, one line per published cell that a run of ours stands for."""
    lines = [_cell_line(frame, scale, key, cell, facts) for key, cell in paper.items() if key[0] == name]
    caption = (
        f"Ours: mean ± standard deviation over seeds where there are at least {SEEDS_FOR_A_MEAN}, otherwise every "
        "value. Difference: ours minus the paper's."
    )
    if name == "table6":
        caption += f" {LINEAR_NOTE} {_chosen_blocks(frame, paper)}"
    if scale != "paper":
        caption += (
            " Data, encoder and length of training are not the paper's here, so the difference says how far apart the "
            "settings are, not how well the result is reproduced; table 'directions' compares the rows with each other."
        )
    return table(name, _TITLES.get(name, name), caption, scale, lines)


def _chosen_blocks(frame: pd.DataFrame, paper: Paper) -> str:
    """Which block every run's probe has chosen, by seed."""
    runs = dict.fromkeys(cell["run"] for key, cell in paper.items() if key[0] == "table6" and cell["run"])
    found = {run: measurement(frame, run, "probe", "chosen_block") for run in runs}
    words = [f"{run} {', '.join(f'{block:.0f}' for block in each.values)}" for run, each in found.items() if each]
    return f"Chosen here, by seed: {'; '.join(words) or 'no probe was run'}."


def directions(frame: pd.DataFrame, scale: str, paper: Paper, facts: Facts) -> Table:
    """Every accuracy against the same column's cell of the reference run: the paper's sign and ours."""
    lines = []
    for (name, row, column), cell in paper.items():
        reference = _reference(paper, name, column, cell)
        if reference is not None and cell["metric"] in HEADLINE_METRICS:
            lines.append(_direction_line(frame, scale, (name, row, column), cell, reference, facts))
    caption = (
        f"What changes when one thing differs from the run '{REFERENCE_RUN}', in the paper and here. Spread: root of "
        "the sum of both variances over seeds. A difference inside the spread decides nothing; one outside it that has "
        "the other sign contradicts the paper and is printed as such."
    )
    return table("directions", "Do our differences point the paper's way?", caption, scale, lines)


def status(found: Measurement | None, scale: str, run: str, evaluation: str, facts: Facts) -> str:
    """Words for the status column: measured, not run, or why it cannot be.

    Args:
        evaluation: one, or several with spaces between, of which `found` is the best.
    """
    if found and evaluation == "size":  # even where a training cannot be
        return f"counted at {scale} scale"
    misfits = [facts.misfits.get(f"{run}/{name}") for name in evaluation.split()]
    misfit = facts.misfits.get(run) or (misfits[0] if misfits and all(misfits) else None)
    if misfit:
        return misfit
    if found is None:
        return NOT_RUN
    return "; ".join([_measured_words(found, scale), *_search_words(found, evaluation.split(), misfits)])


def _measured_words(found: Measurement, scale: str) -> str:
    if found.is_mixed:
        return f"measured at {scale} scale, no mean: its seeds differ in config or data"
    if not all(map(math.isfinite, found.values)):
        return f"measured at {scale} scale, no mean: some values are not finite"
    if not found.claims_mean:
        return f"measured at {scale} scale, {TOO_FEW}"
    return f"measured at {scale} scale"


def _search_words(found: Measurement, evaluations: list[str], misfits: list[str | None]) -> list[str]:
    """Which of several evaluations it is, how that was chosen, and which of them there are no numbers of."""
    if not found.searched:
        return []
    searched = ", ".join(found.searched)
    missing = [(name, misfit) for name, misfit in zip(evaluations, misfits) if name not in found.searched]
    return [
        f"{found.evaluation} is the best of {searched}, chosen on the reported set as the paper searched",
        *(f"{name}: {misfit or NOT_RUN}" for name, misfit in missing),
    ]


def _evaluation_shown(found: Measurement | None, evaluation: str) -> str:
    """The evaluation that a line stands on: of several the best, where there is any."""
    return found.evaluation if found and found.searched else evaluation


def _cell_line(frame: pd.DataFrame, scale: str, key: tuple, cell: Mapping[str, str], facts: Facts) -> Line:
    run, evaluation, metric = cell["run"], cell["evaluation"], cell["metric"]
    found, behind = _measured(frame, cell)
    setting = facts.settings.get((run, evaluation, metric))
    published = None if is_setting(cell) else _published(cell)
    words = status(found, scale, run, evaluation, facts)
    if not run:
        words = cell["note"]
    elif setting and words == NOT_RUN:
        words = f"setting at {scale} scale"
    cells = {
        "row": key[1],
        "column": key[2],
        "paper": cell["value"],
        "ours": found.text if found else setting or (words.partition(":")[0] if run else NOTHING),
        "difference": found.differences(published) if found and published is not None else NOTHING,
        "seeds": str(len(found.seeds)) if found else "0",
        "scale": scale,
        "status": words,
    }
    records = [
        row | {"column": "ours", "evaluation": row["task"]} for each in behind for row in each.rows.to_dict("records")
    ]
    shown = _evaluation_shown(found, evaluation)
    return Line(cells, run, shown, metric, published, records=tuple(records), typed=found)


def _measured(frame: pd.DataFrame, cell: Mapping[str, str]) -> tuple[Measurement | None, list[Measurement]]:
    """What stands beside a published cell, and the measurements that it is made from."""
    run, evaluation, metric = cell["run"], cell["evaluation"], cell["metric"]
    if not cell.get("against"):
        found = best_measurement(frame, run, evaluation, metric)
        return found, [found] if found else []
    both = [measurement(frame, each, evaluation, "train_seconds") for each in (run, cell["against"])]
    return (relative_cost(*both), both) if all(both) else (None, [])


def _reference(paper: Paper, name: str, column: str, cell: Mapping[str, str]) -> Mapping[str, str] | None:
    """The published cell of the reference run in the same table and column, None if this cell is it or has none."""
    same = [other for (table_, _, col), other in paper.items() if (table_, col) == (name, column)]
    found = [other for other in same if other["run"] == REFERENCE_RUN and other["metric"] == cell["metric"]]
    if not found or cell["run"] == REFERENCE_RUN or _published(cell) is None or _published(found[0]) is None:
        return None
    return found[0]


def _direction_line(
    frame: pd.DataFrame, scale: str, key: tuple, cell: Mapping[str, str], reference: Mapping[str, str], facts: Facts
) -> Line:
    run, evaluation, metric = cell["run"], cell["evaluation"], cell["metric"]
    ours = best_measurement(frame, run, evaluation, metric)
    base = best_measurement(frame, REFERENCE_RUN, reference["evaluation"], metric)
    theirs = _published(cell) - _published(reference)
    decimals = len(cell["value"].partition(".")[2])
    cells = {
        "table": key[0],
        "row": f"{key[1]} (against {REFERENCE_RUN})",
        "column": key[2],
        "paper's difference": signed(theirs, decimals),
        "our difference": NOT_RUN,
        "spread": NOTHING,
        "verdict": NOT_RUN,
        "scale": scale,
        "status": status(ours if base is not None else None, scale, run, evaluation, facts),
    }
    measured: dict[str, Any] = {}
    if ours and base:
        cells |= _compared(ours, base, theirs)
        measured = {"our difference": ours, "spread": base}
    elif cells["status"] != NOT_RUN:
        cells |= {"our difference": NOTHING, "verdict": NOTHING}
    return Line(cells, run, _evaluation_shown(ours, evaluation), metric, round(theirs, decimals), measured)


def _compared(ours: Measurement, base: Measurement, theirs: float) -> dict[str, str]:
    if not (ours.claims_mean and base.claims_mean):
        differences = [signed(a - b, 1) for a, b in zip(ours.values, base.values)]
        return {"our difference": ", ".join(differences), "verdict": f"no verdict: {TOO_FEW}"}
    difference, spread = ours.mean - base.mean, spread_of_difference(ours, base)
    return {
        "our difference": signed(difference, 1),
        "spread": number(spread, 1),
        "verdict": _verdict(difference, spread, theirs),
    }


def _verdict(difference: float, spread: float, theirs: float) -> str:
    if abs(difference) <= spread:
        same = "the paper's" if difference * theirs > 0 else "not the paper's"
        return f"undecided: inside the seeds' spread (direction is {same})"
    if round(theirs, 9) == 0:
        return "contradicts the paper, which prints no difference"
    return "agrees with the paper's direction" if difference * theirs > 0 else "contradicts the paper's direction"


def _published(cell: Mapping[str, str]) -> float | None:
    """A published number in the unit of our records, None where the paper prints something else ('N/A')."""
    text = cell["value"].lstrip("~")
    factor = _FACTORS.get(text[-1:], 1)
    try:
        return factor * float(text.rstrip("".join(_FACTORS)))
    except ValueError:
        return None
