"""Figure 6: models trained with masked patches of different sizes, each under masks of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simmim.report.scale_facts import ResultFile, ScaleFacts
from simmim.report.status import NOT_RUN

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from simmim.report.results import Results

title = "Figure 6: reconstruction with different masked patch sizes"
section = "The method in pictures"
description = "What models make of validation images by the size of the masked patch that they were trained with."

_SHOWN_IMAGES = 2


def needs(facts: ScaleFacts) -> list[ResultFile]:
    """The stored images of the runs that pretrain.tsv names for it."""
    return facts.pictured("figure6")


def make(results: Results, facts: ScaleFacts) -> tuple[Figure, str]:
    """Two lines for each image, masked and reconstructed; a column for each run, the smallest patches first."""
    from simmim.report.figures._pictures import BLANK, RECONSTRUCTED, Pictures, grid

    pictures = Pictures(results.pictures)
    runs = sorted(facts.figure_runs["figure6"], key=lambda run: _patch_px(run, facts))
    samples = pictures.samples()[:_SHOWN_IMAGES]
    lines = []
    for sample in samples:
        shown = {run: pictures.of(run, sample) for run in runs}
        lines.append(
            [pictures.image(sample), *(each.masked if each else _missing(run, facts) for run, each in shown.items())]
        )
        lines.append([BLANK, *(each.reconstructed if each else _missing(run, facts) for run, each in shown.items())])
    headings = ["image", *(_heading(run, facts) for run in runs)]
    caption = (
        "Masked above, reconstructed below; mask ratio 0.6. Patch sizes are those of the paper. "
        f"{RECONSTRUCTED} {pictures.origin()}"
    )
    return grid(lines, headings, ["masked", "reconstructed"] * len(samples)), caption


def _heading(run: str, facts: ScaleFacts) -> str:
    """The masked patch in the paper's pixels, and below in those of another scale."""
    name = f"{facts.masks[run].patch_px} px" if run in facts.masks else run
    if facts.is_paper:
        return name
    return f"{name}\nhere {facts.fitting_masks[run]} px" if run in facts.fitting_masks else f"{name}\n"


def _missing(run: str, facts: ScaleFacts) -> str:
    """Why there is no picture of a run, in short lines."""
    from textwrap import fill

    return fill(facts.misfits[run].what, 14) if run in facts.misfits else NOT_RUN


def _patch_px(run: str, facts: ScaleFacts) -> float:
    """Masked patch in the paper's pixels; a run that differs in more than its mask comes last."""
    return facts.masks[run].patch_px if run in facts.masks else float("inf")
