"""Figure 5: the loss on hidden patches only against the loss on the full image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simmim.report.scale_facts import ResultFile, ScaleFacts

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from simmim.report.results import Results

title = "Figure 5: predicting hidden patches only, or the full image"
section = "The method in pictures"
description = "What models make of validation images by the area that their loss is taken on."

_AREAS = {"masked": "loss on\nmasked area", "full": "loss on\nfull image"}


def needs(facts: ScaleFacts) -> list[ResultFile]:
    """The stored images of the runs that pretrain.tsv names for it."""
    return facts.pictured("figure5")


def make(results: Results, facts: ScaleFacts) -> tuple[Figure, str]:
    """A line for each image: itself, masked, and the whole prediction of each run."""
    from simmim.report.figures._pictures import Pictures, grid

    pictures, runs = Pictures(results.pictures), facts.figure_runs["figure5"]
    lines = []
    for sample in pictures.samples():
        shown = [pictures.of(run, sample) for run in runs]
        masked = next((each.masked for each in shown if each), None)
        lines.append([pictures.image(sample), masked, *(each.prediction if each else None for each in shown)])
    headings = ["image", "masked", *(_AREAS.get(facts.loss_areas.get(run), facts.run_label(run)) for run in runs)]
    caption = (
        "The whole prediction of two models under the same masks. The one trained on the masked area is never asked "
        f"for visible pixels, so its visible parts are not meant to match. {pictures.origin()}"
    )
    return grid(lines, headings), caption
