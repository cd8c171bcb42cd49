"""Figure 4: one model under random masking, with most of an object hidden, and with all of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simmim.report.scale_facts import ResultFile, ScaleFacts

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from simmim.report.results import Results

title = "Figure 4: reconstruction under different masks"
section = "The method in pictures"
description = "What a model makes of validation images under random masks and with an object or a central box hidden."

_A = {"object": "an object", "central box": "a central box"}
_WHOLE = {
    "object": "Objects are outlined by hand in config/drawn_masks.tsv; every patch that an outline touches is theirs.",
    "central box": "No object was outlined in these images (config/drawn_masks.tsv), so a central box stands for it.",
}


def needs(facts: ScaleFacts) -> list[ResultFile]:
    """The stored images of the run that pretrain.tsv names for it."""
    return facts.pictured("figure4")


def make(results: Results, facts: ScaleFacts) -> tuple[Figure, str]:
    """A line for each image: itself, then masked and as predicted under each mask."""
    from simmim.report.figures._pictures import OWN_MASK, Pictures, grid

    pictures, run = Pictures(results.pictures), needs(facts)[0].run
    region = "object" if "object" in set(pictures.rows["region"]) else "central box"
    samples = pictures.samples(region=region)
    share = _share(pictures.shares(run, samples))
    own = facts.masks[run].kind if run in facts.masks else "own mask"
    masks = {OWN_MASK: own, "most": f"{share} of {region}", "all": f"all of {region}"}
    lines = []
    for sample in samples:
        shown = [pictures.of(run, sample, mask) for mask in masks]
        pairs = [(each.masked, each.prediction) if each else (None, None) for each in shown]
        lines.append([pictures.image(sample), *(panel for pair in pairs for panel in pair)])
    headings = [f"{words}\n{state}" for words in masks.values() for state in ("masked", "prediction")]
    caption = (
        f"What one model predicts under three masks: {own}, {share} of {_A[region]} hidden, and all of it. Grey: "
        f"hidden. {_WHOLE[region]} {_visible(facts.loss_areas.get(run))} {pictures.origin()} Images from the top: "
        f"{', '.join(samples)}."
    )
    return grid(lines, ["image", *headings]), caption


def _share(shares: list[float]) -> str:
    """'92 to 95 %', as the masks were counted; 'most' where none fits."""
    if not shares:
        return "most"
    low, high = (f"{100 * share:.0f}" for share in (min(shares), max(shares)))
    return f"{low} %" if low == high else f"{low} to {high} %"


def _visible(loss_area: str | None) -> str:
    """What the prediction is to be on visible patches."""
    if loss_area != "masked":
        return "The prediction is shown whole."
    return (
        "The prediction is shown whole. The loss is taken on the masked area only, so the model is asked for nothing "
        "on visible patches: a checkerboard there is no fault."
    )
