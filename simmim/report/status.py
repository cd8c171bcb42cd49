"""The words of the status column: measured, not run, or why it cannot be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simmim.report.measurements import OF_MASKS, count_of_pretrainings, metric_label
from simmim.report.scale_facts import Misfit, ScaleFacts, is_setting

if TYPE_CHECKING:
    from simmim.report.measurements import Measurement

NOT_RUN = "not run"
TIMED_ELSEWHERE = "timed on another kind of CPU or GPU"
PRINTED = "as printed: no run of ours stands for it"
NOTHING = "–"  # a cell that has no content by its nature; no cell is ever left blank


class NothingToDraw(ValueError):
    """The result files hold nothing that a figure could draw; the sentence stands in its place."""


def misfit_of(facts: ScaleFacts, run: str, evaluations: str) -> Misfit | None:
    """Why a scale cannot have a run, or any of its evaluations that are named with spaces between."""
    each = [facts.misfits.get(f"{run}/{name}") for name in evaluations.split()]
    return facts.misfits.get(run) or (each[0] if each and all(each) else None)


def status(found: Measurement | None, facts: ScaleFacts, run: str, evaluations: str) -> str:
    """What a line says about where its number comes from.

    Args:
        evaluations: one, or several with spaces between, of which `found` is the best.
    """
    if found and evaluations == "size":  # even where a training cannot be
        return f"counted at {facts.scale} scale"
    if misfit := misfit_of(facts, run, evaluations):
        return str(misfit)
    if found is None:
        return NOT_RUN
    return "; ".join([_measured(found, facts.scale), *_searched(found, facts, run, evaluations.split())])


def measured_by(facts: ScaleFacts, evaluations: str, metric: str) -> str:
    """What a number is here: the evaluation on its data, and the metric; of several evaluations the first."""
    if not metric:
        return NOTHING
    if is_setting(metric):
        return "setting"
    return f"{facts.evaluation_label(evaluations)}, {metric_label(metric)}"


def trouble(found: Measurement) -> str:
    """Why values cannot be taken together, however many there are; '' where they can."""
    if found.is_mixed:
        return "its seeds differ in config or data"
    return "" if found.is_finite else "some values are not finite"


def _measured(found: Measurement, scale: str) -> str:
    if reason := trouble(found):
        return f"measured at {scale} scale, no mean: {reason}"
    if not found.claims_mean and found.metric not in OF_MASKS:
        return f"measured at {scale} scale, {count_of_pretrainings(found.n)}"
    return f"measured at {scale} scale"


def _searched(found: Measurement, facts: ScaleFacts, run: str, evaluations: list[str]) -> list[str]:
    """Which of several evaluations it is, how that was chosen, and which of them there are no numbers of."""
    if not found.searched:
        return []
    missing = [name for name in evaluations if name not in found.searched]
    return [
        f"{found.evaluation} is the best of {', '.join(found.searched)}, "
        "chosen on the reported set as the paper searched",
        *(f"{name}: {facts.misfits.get(f'{run}/{name}') or NOT_RUN}" for name in missing),
    ]
