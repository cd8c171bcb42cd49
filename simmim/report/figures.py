"""Draws one figure from cached result files into a PNG that carries its title and caption."""

from __future__ import annotations

import functools
from pathlib import Path

from simmim.plugin import check_choice
from simmim.report import avg_dist_figures, curves, dots, recoveries
from simmim.report.mask_samples import mask_samples
from simmim.report.measurements import read
from simmim.report.names import FIGURES, RECOVERIES, Facts
from simmim.report.paper_tables import Paper
from simmim.report.reconstructions import reconstructions
from simmim.report.style import look, save
from simmim.report.table import scale_words

_PATCH_WORDS = dict(zip(RECOVERIES["figure6"], ("4 px", "8 px", "16 px", "32 px", "64 px")))
_FROM_PICTURES = {
    "figure1": recoveries.framework,
    "figure2": mask_samples,
    "figure4": recoveries.mask_types,
    "figure5": recoveries.loss_areas,
    "figure6": functools.partial(recoveries.patch_sizes, words=_PATCH_WORDS),
    "reconstructions": reconstructions,
}
_FROM_RECORDS = {"scratch": dots.scratch, "losses": curves.losses, "probe_blocks": curves.probe_blocks}
_BESIDE_THE_PAPER = {"figure3": avg_dist_figures.figure3, "figure7": avg_dist_figures.figure7}


def write_figure(name: str, inputs: list[Path], out: Path, scale: str, facts: Facts, paper: Paper) -> None:
    """Draw a figure and write `out`.png.

    Args:
        inputs: the result files that `names.figure_needs` lists.
        out: path of the file without its ending.
        paper: rows of paper.tsv by (table, row, column).

    Raises:
        ValueError: for an unknown figure, a figure that a scale has nothing to draw for, or inputs of another scale.
    """
    check_choice("figure", name, FIGURES)
    if not inputs:
        raise ValueError(f"scale '{scale}' has no results that figure '{name}' could be drawn from")
    inputs, out = [Path(path) for path in inputs], Path(out)
    with look():
        if name in _FROM_PICTURES:
            figure, title, caption = _FROM_PICTURES[name](inputs, scale)
        elif name in _BESIDE_THE_PAPER:
            figure, title, caption = _BESIDE_THE_PAPER[name](read(inputs, scale), scale, facts, paper)
        else:
            figure, title, caption = _FROM_RECORDS[name](read(inputs, scale), scale, facts)
        save(figure, out.with_name(f"{out.name}.png"), f"{title} · {scale_words(scale)}", caption)
