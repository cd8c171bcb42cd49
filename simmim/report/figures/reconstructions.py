"""What one run makes of masked images that it has never seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simmim.report.scale_facts import ResultFile, ScaleFacts

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from simmim.report.results import Results

title = "Reconstructions of validation images"
section = "What the models reconstruct"
description = "Validation images with fixed masks: input, masked input, prediction, and the prediction in its place."

_HEADINGS = ("input", "masked input", "prediction", "reconstructed")
_INCHES = 1.7
_GAP = 0.18  # between the two blocks, in widths of a picture


def needs(facts: ScaleFacts) -> list[ResultFile]:
    """The stored images of the run that pretrain.tsv names for it, else of one with a reconstruction loss."""
    any_run = [ResultFile("reconstruct", run) for run in [facts.shown_run(facts.loss_areas)] if run]
    return facts.pictured("reconstructions")[:1] or any_run


def make(results: Results, facts: ScaleFacts) -> tuple[Figure, str]:
    """Images under one another, in two columns of blocks."""
    import matplotlib.pyplot as plt

    from simmim.report.figures._pictures import RECONSTRUCTED, Pictures
    from simmim.report.style import INK

    pictures, run = Pictures(results.pictures), needs(facts)[0].run
    samples = list(dict.fromkeys(pictures.rows["sample_id"]))
    blocks = 2 if len(samples) > 4 else 1
    height = -(-len(samples) // blocks)
    widths = ([1.0] * 4 + [_GAP]) * blocks
    size, ratios = (_INCHES * sum(widths[:-1]), _INCHES * height), {"width_ratios": widths[:-1]}
    spaces = {"wspace": 0.04, "hspace": 0.04}
    figure, axes = plt.subplots(height, len(widths) - 1, figsize=size, squeeze=False, gridspec_kw=spaces | ratios)
    for axis in axes.flat:
        axis.axis("off")
    for place, sample in enumerate(samples):
        block, line = divmod(place, height)
        for axis, pixels in zip(axes[line, block * 5 :], pictures.of(run, sample)):
            axis.imshow(pixels, interpolation="nearest")
    for block in range(blocks):
        for axis, heading in zip(axes[0, block * 5 :], _HEADINGS):
            axis.set_title(heading, fontsize=9, color=INK, weight="normal", loc="center", pad=5)
    caption = (
        f"{len(samples)} images. {pictures.origin()} {RECONSTRUCTED} A run whose loss is taken on the masked area is "
        "never asked for the visible pixels of its prediction."
    )
    return figure, caption
