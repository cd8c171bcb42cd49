"""A table of the paper with our numbers beside the published ones, made from the rows of paper.tsv alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simmim.config.references import WITHOUT_ROW
from simmim.report.measurements import (
    MEAN_NOTE,
    Measurement,
    best_measurement,
    measurement,
    relative_cost,
)
from simmim.report.scale_facts import Cell, ResultFile, ScaleFacts, is_setting
from simmim.report.status import NOT_RUN, NOTHING, PRINTED, TIMED_ELSEWHERE, measured_by, misfit_of, status
from simmim.report.table import Body, Line, records_of
from simmim.report.tables._directions import CORRECTED, Direction, Key, directions, published

if TYPE_CHECKING:
    import pandas as pd

    from simmim.report.results import Results

SECTION = "Beside the paper"
# Why the linear column is low, beside every linear probe that is shown.
LINEAR_NOTE = (
    "Why SimMIM's linear numbers are low: it learns to predict raw pixels, so its last blocks serve that, and what "
    "tells classes apart is there but not linearly separable at the top; fine-tuning is the measure, the probe a "
    "comparison. The paper's 56.7 is its best intermediate layer: block 8 of ViT-B, the average of the patch tokens "
    "without the class token, by the authors' word (microsoft/SimMIM issue 14; they never released their probe). Ours "
    "trains a classifier on every block and takes the one that is best on held-out training images."
)

_DIFFERENCE = "Difference: ours minus the paper's."
_OTHER_SETTING = (
    "Data, encoder and length of training are not the paper's here, so numbers are not to be compared with its own. "
    f"Direction: whether the row differs from the reference run the way it does in the paper. {CORRECTED}"
)


@dataclass(frozen=True)
class PaperTable:
    """Makes one table of paper.tsv.

    Args:
        facts: those of the scale.
    """

    name: str
    facts: ScaleFacts

    @property
    def title(self) -> str:
        """As tables.tsv has it, else the table's name."""
        return self.facts.table_titles.get(self.name, self.name)

    @property
    def section(self) -> str:
        """As tables.tsv has it."""
        return self.facts.table_sections.get(self.name) or SECTION

    def needs(self, facts: ScaleFacts) -> list[ResultFile]:
        """What the scale can have of its cells."""
        return cells_need(facts, facts.cells(self.name).values())

    def make(self, results: Results, facts: ScaleFacts) -> Body:
        """One line per published cell that a run of ours stands for."""
        cells = {(self.name, *key): cell for key, cell in facts.cells(self.name).items()}
        seen = {} if facts.is_paper else directions(results.records, cells, facts)
        lines = [_line(results.records, key, cell, seen.get(key), facts) for key, cell in cells.items()]
        return Body(self._caption(results.records, facts), lines)

    def _caption(self, frame: pd.DataFrame, facts: ScaleFacts) -> str:
        caption = f"{MEAN_NOTE} {_DIFFERENCE if facts.is_paper else _OTHER_SETTING}"
        if probed := _probed(facts, self.name):
            caption += f" {LINEAR_NOTE} {_chosen_blocks(frame, probed)}"
        return caption


def cells_need(facts: ScaleFacts, cells: Iterable[Cell]) -> list[ResultFile]:
    """The result files that stand behind published cells, as far as the scale has them."""
    return [need for cell in cells for need in _needs_of(cell) if _is_possible(need, facts)]


def note(cell: Cell, facts: ScaleFacts) -> str:
    """What a reader must know of a cell: the sheet's words, and whose codes its run predicts."""
    codes = "" if is_setting(cell["metric"]) else facts.codes.get(cell["run"])
    return "; ".join(filter(None, (cell["note"], codes)))


def shown_evaluation(found: Measurement | None, evaluations: str) -> str:
    """The evaluation that a line stands on: of several the best, where there is any."""
    return found.evaluation if found and found.searched else evaluations


def _needs_of(cell: Cell) -> list[ResultFile]:
    """What a published cell needs: nothing, its evaluations, or the files of its run and of the one it is against."""
    run, evaluation = cell["run"], cell["evaluation"]
    if not run or is_setting(cell["metric"]):
        return []
    if cell["metric"] == "avg_dist":
        return [ResultFile("avg_dist")]
    if evaluation in WITHOUT_ROW:
        return [ResultFile(evaluation, each) for each in (run, cell.get("against", "")) if each]
    return [ResultFile("evaluate", run, name) for name in evaluation.split()]


def _is_possible(need: ResultFile, facts: ScaleFacts) -> bool:
    """Whether the scale has what a published cell needs."""
    if need.kind == "evaluate":
        return (need.run, need.evaluation) in facts.evaluated
    if need.kind == "avg_dist":
        return bool(facts.fitting_masks)
    return need.run in {"pretrain": facts.trained, "size": facts.countable}[need.kind]


def _probed(facts: ScaleFacts, table: str) -> dict[str, str]:
    """Run to its linear probe, of the cells of a table that are one."""
    probes = {evaluation for (_, evaluation), each in facts.evaluated.items() if each.task == "linear_probe"}
    cells = facts.cells(table).values()
    return {cell["run"]: cell["evaluation"] for cell in cells if cell["run"] and cell["evaluation"] in probes}


def _chosen_blocks(frame: pd.DataFrame, probed: dict[str, str]) -> str:
    """Which block every run's probe has chosen, by seed."""
    found = {run: measurement(frame, run, evaluation, "chosen_block") for run, evaluation in probed.items()}
    blocks = {run: each.rows["value"].astype(int).astype(str) for run, each in found.items() if each}
    words = [f"{run} {', '.join(each)}" for run, each in blocks.items()]
    return f"Chosen here, by seed: {'; '.join(words) or 'no probe was run'}."


def _line(frame: pd.DataFrame, key: Key, cell: Cell, seen: Direction | None, facts: ScaleFacts) -> Line:
    run, evaluation, metric = cell["run"], cell["evaluation"], cell["metric"]
    found, behind = _measured(frame, cell)
    theirs = None if is_setting(metric) else published(cell)
    ours, words = ("not comparable", TIMED_ELSEWHERE) if behind and not found else _ours(found, cell, facts)
    cells = {
        "row": key[1],
        **(_compared(ours, found, key, cell) if facts.is_paper else _apart(ours, seen, key, cell, facts)),
        "n": found.count if found else "0",
        "scale": facts.scale,
        "status": words,
        "note": note(cell, facts) or NOTHING,
    }
    records = tuple(record for each in behind if found for record in records_of(each, "ours"))
    return Line(cells, run, shown_evaluation(found, evaluation), metric, theirs, records=records, typed=found)


def _compared(ours: str, found: Measurement | None, key: Key, cell: Cell) -> dict[str, str]:
    """Our number in the paper's setting: beside the paper's, with the difference."""
    theirs = None if is_setting(cell["metric"]) else published(cell)
    difference = found.differences(theirs) if found and theirs is not None else NOTHING
    return {"column": key[2], "paper": cell["value"], "ours": ours, "difference": difference}


def _apart(ours: str, seen: Direction | None, key: Key, cell: Cell, facts: ScaleFacts) -> dict[str, str]:
    """Our number in another setting: with what it measures here, apart from the paper's number and measure."""
    return {
        "ours": ours,
        "measured here by": measured_by(facts, cell["evaluation"], cell["metric"]),
        "direction": seen.verdict if seen else NOTHING,
        "paper": cell["value"],
        "the paper's measure": key[2],
    }


def _ours(found: Measurement | None, cell: Cell, facts: ScaleFacts) -> tuple[str, str]:
    """What stands in our column, and the words of its status."""
    run, evaluation = cell["run"], cell["evaluation"]
    if not run:
        return NOTHING, PRINTED
    words = status(found, facts, run, evaluation)
    if found:
        return found.text, words
    setting = facts.settings.get((run, evaluation, cell["metric"]))
    if setting:
        return setting, f"setting at {facts.scale} scale"
    misfit = misfit_of(facts, run, evaluation)
    return (misfit.what if misfit else NOT_RUN), words


def _measured(frame: pd.DataFrame, cell: Cell) -> tuple[Measurement | None, list[Measurement]]:
    """What stands beside a published cell, and the measurements behind it, which two times are without a ratio, too."""
    run, evaluation, metric = cell["run"], cell["evaluation"], cell["metric"]
    if not cell.get("against"):
        found = best_measurement(frame, run, evaluation, metric)
        return found, [found] if found else []
    both = [measurement(frame, each, evaluation, "train_seconds") for each in (run, cell["against"])]
    return (relative_cost(*both), both) if all(both) else (None, [])
