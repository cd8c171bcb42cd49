"""Figure 1: the framework, with one image on its way through masking, encoder, head and loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simmim.report.scale_facts import ResultFile, ScaleFacts

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from simmim.report.results import Results

title = "Figure 1: the framework"
section = "The method in pictures"
description = "The framework, with one validation image and what the reference run predicts for it."


def needs(facts: ScaleFacts) -> list[ResultFile]:
    """The stored images of the run that pretrain.tsv names for it."""
    return facts.pictured("figure1")


def make(results: Results, facts: ScaleFacts) -> tuple[Figure, str]:
    """Boxes and arrows between three states of one image."""
    import matplotlib.pyplot as plt

    from simmim.report.figures._pictures import Pictures

    pictures = Pictures(results.pictures)
    shown = pictures.of(needs(facts)[0].run, pictures.samples()[0])
    figure, axis = plt.subplots(figsize=(9.4, 2.0))
    axis.set(xlim=(0, 9.4), ylim=(0.6, 2.6))
    axis.axis("off")
    _picture(axis, shown.masked, (0.1, 1.0), "masked image")
    _picture(axis, shown.prediction, (5.3, 1.0), "prediction")
    _picture(axis, shown.image, (7.8, 1.0), "target: raw pixels")
    _box(axis, (2.2, 1.2), (1.2, 1.1), "encoder\n(ViT, Swin, …)")
    _box(axis, (3.95, 1.4), (0.95, 0.7), "one-layer\nhead")
    for start, end in ((1.65, 2.15), (3.45, 3.9), (4.95, 5.25)):
        _arrow(axis, start, end)
    _loss(axis)
    caption = (
        "Patches of the image are replaced by a learnt mask token, an encoder sees the rest, a single linear layer "
        f"predicts the raw pixels, and the l1 loss is taken on hidden patches only. {pictures.origin()}"
    )
    return figure, caption


def _picture(axis: Axes, pixels: np.ndarray, corner: tuple[float, float], words: str) -> None:
    from simmim.report.style import MUTED

    left, bottom = corner
    axis.imshow(pixels, extent=(left, left + 1.5, bottom, bottom + 1.5), interpolation="nearest", aspect="auto")
    axis.text(left + 0.75, bottom - 0.12, words, ha="center", va="top", fontsize=8.5, color=MUTED)


def _box(axis: Axes, corner: tuple[float, float], size: tuple[float, float], words: str) -> None:
    from matplotlib.patches import FancyBboxPatch

    from simmim.report.style import INK, REFERENCE, REFERENCE_TINT

    shape = "round,pad=0,rounding_size=0.08"
    axis.add_patch(FancyBboxPatch(corner, *size, boxstyle=shape, fc=REFERENCE_TINT, ec=REFERENCE, lw=1.1))
    (left, bottom), (width, height) = corner, size
    axis.text(left + width / 2, bottom + height / 2, words, ha="center", va="center", fontsize=8.5, color=INK)


def _arrow(axis: Axes, start: float, end: float, style: str = "->") -> None:
    from simmim.report.style import MUTED

    arrow = {"arrowstyle": style, "color": MUTED, "lw": 1.2}
    axis.annotate("", xy=(end, 1.75), xytext=(start, 1.75), arrowprops=arrow)


def _loss(axis: Axes) -> None:
    from simmim.report.style import INK, MUTED

    _arrow(axis, 6.85, 7.75, "<->")
    axis.text(7.3, 1.9, "$\\ell_1$ loss", ha="center", va="bottom", fontsize=9, color=INK)
    axis.text(7.3, 1.6, "on hidden\npatches", ha="center", va="top", fontsize=7.5, color=MUTED)
