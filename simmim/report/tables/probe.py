"""Which block has the best features? Top-1 of a linear classifier on every block's; the chosen one counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from simmim.report.measurements import MEAN_NOTE, Measurement, block_number, blocks_of, measurement
from simmim.report.scale_facts import ResultFile, ScaleFacts
from simmim.report.status import NOT_RUN, NOTHING, status
from simmim.report.table import Body, Line
from simmim.report.tables._paper import LINEAR_NOTE

if TYPE_CHECKING:
    import pandas as pd

    from simmim.report.results import Results

title = "Linear probe of every block"
section = "Features, block by block"

_CHOSEN = "chosen"


def needs(facts: ScaleFacts) -> list[ResultFile]:
    """Every linear probe of the scale."""
    return facts.evaluations("linear_probe")


def make(results: Results, facts: ScaleFacts) -> Body:
    """For every probe a line for the chosen block and one for each block."""
    frame = results.records
    probes = frame[["run", "evaluation"]].drop_duplicates().itertuples(index=False, name=None)
    caption = (
        f"{MEAN_NOTE} The block is chosen by its selection accuracy, on a part of the training set that is kept aside "
        f"for it, never on the test images; 'chosen by' counts the seeds that chose a block. {LINEAR_NOTE}"
    )
    return Body(caption, [line for probe in probes for line in _lines(frame, *probe, facts)])


def _lines(frame: pd.DataFrame, run: str, evaluation: str, facts: ScaleFacts) -> Iterator[Line]:
    mine = frame[(frame["run"] == run) & (frame["evaluation"] == evaluation)]
    chosen = measurement(mine, run, evaluation, "chosen_block")
    votes = Counter(chosen.rows["value"].astype(int)) if chosen else Counter()
    for part in [_CHOSEN, *blocks_of(mine)]:
        found = measurement(mine, run, evaluation, "top1", part)
        yield _line(found, run, evaluation, part, votes, facts)


def _line(found: Measurement | None, run: str, evaluation: str, part: str, votes: Counter, facts: ScaleFacts) -> Line:
    mine = votes.total() if part == _CHOSEN else votes[block_number(part)]
    cells = {
        "run": run,
        "measured by": facts.evaluation_label(evaluation),
        "block": part if part == _CHOSEN else str(block_number(part)),
        "top-1 (%)": found.text if found else NOT_RUN,
        "chosen by": f"{mine} of {votes.total()} seeds" if votes else NOTHING,
        "n": found.count if found else "0",
        "scale": facts.scale,
        "status": status(found, facts, run, evaluation),
    }
    return Line(cells, run, evaluation, "top1", None, {"top-1 (%)": found})
