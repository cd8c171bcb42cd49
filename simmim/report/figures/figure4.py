"""Figure 4: one model under random masking, with most of an object hidden, and with all of it hidden."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simmim.report.scale_facts import ResultFile, ScaleFacts

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from simmim.report.results import Results

title = "Figure 4: reconstruction under different masks"
section = "What the models reconstruct"
description = "What a model makes of validation images under random masks and with objects hidden."

_OBJECT_MASKS = {"most of the object": "most of object", "all of the object": "all of object"}


def needs(facts: ScaleFacts) -> list[ResultFile]:
    """The stored images of the run that pretrain.tsv names for it."""
    return facts.pictured("figure4")


def make(results: Results, facts: ScaleFacts) -> tuple[Figure, str]:
    """A line for each image: itself, then masked and reconstructed under each mask."""
    from simmim.report.figures._pictures import OWN_MASK, RECONSTRUCTED, Pictures, grid

    pictures, run = Pictures(results.pictures), needs(facts)[0].run
    masks = {OWN_MASK: facts.masks[run].kind if run in facts.masks else "own mask"} | _OBJECT_MASKS
    lines = []
    for sample in pictures.samples():
        shown = [pictures.of(run, sample, mask) for mask in masks]
        pairs = [(each.masked, each.reconstructed) if each else (None, None) for each in shown]
        lines.append([pictures.image(sample), *(panel for pair in pairs for panel in pair)])
    headings = [f"{mask}\n{state}" for mask in masks.values() for state in ("masked", "reconstructed")]
    caption = (
        f"Reconstructed images under three masks: {masks[OWN_MASK]}, most of an object, all of an object. The regions "
        "are drawn by hand where config/drawn_masks.tsv names the image, and a central box elsewhere. "
        f"{RECONSTRUCTED} {pictures.origin()}"
    )
    return grid(lines, ["image", *headings]), caption
