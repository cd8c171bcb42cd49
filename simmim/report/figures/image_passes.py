"""What pre-training reaches over the images it has seen: its slope, and the same encoder from scratch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simmim.report.image_passes import (
    METRIC,
    Length,
    drawable,
    hours_text,
    lengths,
    needed,
    passes_text,
    shown_evaluations,
    slope_per_decade,
    slope_words,
)
from simmim.report.measurements import ENOUGH_FOR_A_MEAN, Measurement, measurement, metric_label
from simmim.report.scale_facts import ResultFile, ScaleFacts
from simmim.report.status import NothingToDraw

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from simmim.report.results import Results

title = "Longer pre-training against from scratch"
section = "Does pre-training help?"
description = (
    "Accuracy over the images seen in pre-training, on a logarithmic axis, with the slope per tenfold length and the "
    "same encoder from scratch."
)


def needs(facts: ScaleFacts) -> list[ResultFile]:
    """As the table of the same name."""
    return needed(facts)


def make(results: Results, facts: ScaleFacts) -> tuple[Figure, str]:
    """A panel for each evaluation; a dot per pre-training."""
    import matplotlib.pyplot as plt

    frame, baseline = results.records, facts.baselines.get(facts.reference, "")
    found = {name: lengths(frame, facts, name) for name in shown_evaluations(facts)}
    found = {name: runs for name, runs in found.items() if drawable(runs)}
    if not found:
        raise NothingToDraw("No run was both pre-trained and evaluated")
    figure, axes = plt.subplots(
        1, len(found), figsize=(4.2 * len(found) + 0.6, 3.6), squeeze=False, layout="constrained"
    )
    for axis, (name, runs) in zip(axes[0], found.items()):
        _draw(axis, runs, measurement(frame, baseline, name, METRIC))
        axis.set(title=facts.evaluation_label(name), ylabel=metric_label(METRIC))
    slopes = [f"{facts.evaluation_label(name)} {slope_words(slope_per_decade(runs))}" for name, runs in found.items()]
    return figure, _caption(next(iter(found.values())), slopes)


def _draw(axis: Axes, runs: list[Length], scratch: Measurement | None) -> None:
    import numpy as np

    from simmim.report.style import REFERENCE

    for each in drawable(runs):
        axis.plot([each.passes] * each.score.n, each.score.by_pretraining, "o", ms=4, alpha=0.5, color=REFERENCE)
        if each.score.claims_mean:
            bar = {"fmt": "o", "ms": 7, "mec": "white", "elinewidth": 1.6, "color": REFERENCE, "zorder": 4}
            axis.errorbar(each.passes, each.score.mean, yerr=each.score.deviation, **bar)
    if slope := slope_per_decade(runs):
        ends = np.array([min(each.passes for each in drawable(runs)), max(each.passes for each in drawable(runs))])
        axis.plot(ends, slope.intercept + slope.slope * np.log10(ends), color=REFERENCE, lw=1.2, zorder=1)
    if scratch and scratch.is_finite:
        _draw_from_scratch(axis, scratch)
    axis.set(xscale="log", xlabel="images seen in pre-training")
    seen = sorted({each.passes for each in drawable(runs)})
    axis.set_xticks(seen, [passes_text(passes) for passes in seen])
    axis.set_xticks([], minor=True)  # within a decade their labels would lie on each other
    axis.margins(0.12)
    axis.grid(axis="y")


def _draw_from_scratch(axis: Axes, scratch: Measurement) -> None:
    """Its mean and one standard deviation to both sides, or a line for each where no mean may be claimed."""
    from simmim.report.style import SCRATCH

    values, reach = ([scratch.mean], scratch.deviation) if scratch.claims_mean else (scratch.values, 0.0)
    if reach:
        axis.axhspan(values[0] - reach, values[0] + reach, color=SCRATCH, alpha=0.2, lw=0, zorder=0)
    for value in values:
        axis.axhline(value, color=SCRATCH, lw=0.9, ls=(0, (3, 2)), zorder=0)
    place = {"xycoords": axis.get_yaxis_transform(), "xytext": (0, 2), "textcoords": "offset points"}
    axis.annotate(
        "from scratch", (0.99, max(values) + reach), ha="right", va="bottom", fontsize=8, color=SCRATCH, **place
    )


def _caption(runs: list[Length], slopes: list[str]) -> str:
    costs = [f"{passes_text(each.passes)} {hours_text(each.seconds)} h" for each in drawable(runs)]
    return (
        "Runs that differ in the length of their pre-training alone. Small dots: pre-trainings; large dot, bar: mean ± "
        f"standard deviation where there are at least {ENOUGH_FOR_A_MEAN}. Dashed, band: the same encoder from "
        "scratch, mean ± standard deviation, or a line for each where there are fewer. Line: least squares over "
        f"pre-trainings, its slope with the 95 % interval by Student's t: {'; '.join(slopes)}. Cost of the fastest "
        f"pre-training on its machine, of all devices together: {', '.join(costs)}. The vertical axis does not begin "
        "at zero."
    )
