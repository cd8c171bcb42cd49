"""The table of further evaluation sets, such as ImageNet-V2 beside ImageNet-1K."""

from __future__ import annotations

import pandas as pd

from simmim.report.measurements import Measurement, evaluation_label, measurement
from simmim.report.names import Facts
from simmim.report.own_tables import SEEDS_NOTE
from simmim.report.paper_tables import status
from simmim.report.table import NOTHING, Line, Table, table


def further(frame: pd.DataFrame, scale: str, facts: Facts) -> Table:
    """Top-1 of every fine-tuning on a further set, such as ImageNet-V2, beside that on the main one."""
    lines = []
    for run, task in frame[["run", "task"]].drop_duplicates().itertuples(index=False):
        mine = frame[(frame["run"] == run) & (frame["task"] == task) & (frame["metric"] == "top1")]
        main = measurement(mine, run, task, "top1", "")
        for name in sorted(set(mine["detail"]) - {""}):
            lines.append(_further_line(main, measurement(mine, run, task, "top1", name), scale, name, facts))
    caption = (
        f"{SEEDS_NOTE} Trained once, scored on both. The further set has the same classes and other images; "
        "how far they are new ones is for its makers to say."
    )
    return table("further", "Further evaluation sets", caption, scale, lines)


def _further_line(main: Measurement, found: Measurement, scale: str, name: str, facts: Facts) -> Line:
    run, task = found.rows["run"].iloc[0], found.evaluation
    cells = {
        "run": run,
        "task": evaluation_label(task),
        "further set": name,
        "top-1 there (%)": found.text,
        "top-1 (%)": main.text,
        "difference": found.differences(main.mean) if main.claims_mean else NOTHING,
        "seeds": str(len(found.seeds)),
        "scale": scale,
        "status": status(found, scale, run, task, facts),
    }
    return Line(cells, run, task, "top1", None, {"top-1 there (%)": found, "top-1 (%)": main})
