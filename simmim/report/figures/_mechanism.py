"""Which runs the figures of the mechanism show together, and in which colours."""

from __future__ import annotations

from typing import Any

import pandas as pd

from simmim.report.figures._lines import colour_of, dashes_of
from simmim.report.scale_facts import ScaleFacts
from simmim.report.style import colours


def runs_by_encoder(frame: pd.DataFrame, facts: ScaleFacts) -> list[list[str]]:
    """Runs with records, those of one kind of encoder together: pre-trained ones as in the sheet, then from scratch."""
    encoders: dict[str, list[str]] = {}
    for run in facts.trained_first(frame["run"]):
        encoders.setdefault(facts.encoders.get(run, ""), []).append(run)
    return list(encoders.values())


def lines_of(runs: list[str], facts: ScaleFacts) -> dict[str, dict[str, Any]]:
    """Colour and dashes of each run; where two of them share the colour they have everywhere, by their place here."""
    trained = [run for run in runs if run in facts.trained]
    palette = {run: colour_of(run, facts) for run in runs}
    if len({palette[run] for run in trained}) < len(trained):
        palette |= colours(trained, facts.reference)
    return {run: {"color": palette[run], "ls": dashes_of(run, facts)} for run in runs}
