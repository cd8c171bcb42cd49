"""Figure 2: validation images under each kind of mask at one ratio."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simmim.report.scale_facts import ResultFile, ScaleFacts

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from simmim.report.results import Results

title = "Figure 2: kinds of masks"
section = "Masks"
description = "Validation images under each kind of mask at one ratio. Grey: hidden from the encoder."

_INCHES = 1.65


def needs(facts: ScaleFacts) -> list[ResultFile]:
    """The images under masks, which take their size from the reference run."""
    return [ResultFile("mask_samples")] if facts.reference in facts.fitting_masks else []


def make(results: Results, facts: ScaleFacts) -> tuple[Figure, str]:
    """A column for each kind of mask, a row for each image."""
    import matplotlib.pyplot as plt

    from simmim.report.style import INK

    rows = results.pictures
    kinds, images = list(dict.fromkeys(rows["kind"])), list(dict.fromkeys(rows["sample_id"]))
    size, spaces = (_INCHES * len(kinds), _INCHES * len(images)), {"wspace": 0.04, "hspace": 0.04}
    figure, axes = plt.subplots(len(images), len(kinds), figsize=size, squeeze=False, gridspec_kw=spaces)
    for column, kind in zip(axes.T, kinds):
        mine = rows[rows["kind"] == kind].to_dict("records")
        for axis, row in zip(column, mine):
            _panel(axis, row)
        heading = _heading(mine[0], facts.scale)
        column[0].set_title(heading, fontsize=8.5, color=INK, weight="normal", loc="center", pad=5)
    caption = (
        f"{len(images)} validation images, not picked, under masks drawn at a ratio of {rows['ratio'].iloc[0]}. "
        "Grey: hidden from the encoder. Named by kind of mask and by the side of the masked patch in the paper. The "
        "share that is hidden differs a little from the ratio: counts are rounded up to whole patches, the square to a "
        "whole side of tokens."
    )
    return figure, caption


def _panel(axis: Axes, row: dict[str, Any]) -> None:
    """The image with its hidden part in grey, or why there is none."""
    import numpy as np

    from simmim.report.figures._pictures import hide, opened, opened_mask
    from simmim.report.style import HAIRLINE, say

    axis.set(xticks=[], yticks=[])
    axis.spines[:].set(visible=True, color=HAIRLINE, linewidth=0.8)
    image = opened(row["image"])
    if row["hidden"]:
        axis.imshow(hide(image, opened_mask(row["hidden"])[:, :, None]), interpolation="nearest")
    else:
        axis.imshow(np.full_like(image, 255))
        say(axis, "does not fit\nthis scale")


def _heading(row: dict[str, Any], scale: str) -> str:
    """Kind of mask, its patch at this scale, and the share of the first image that it hides."""
    from simmim.report.figures._pictures import opened_mask

    if not row["hidden"]:
        return f"{row['kind']}\n"
    here = f"here {row['masked_patch_px']:.0f} px, " if scale != "paper" else ""
    return f"{row['kind']}\n{here}{100 * opened_mask(row['hidden']).mean():.0f} %"
