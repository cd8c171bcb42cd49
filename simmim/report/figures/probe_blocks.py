"""Top-1 of the linear probe on each block's features, pre-trained runs in whole lines, random encoders in dashed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simmim.report.measurements import ENOUGH_FOR_A_MEAN, block_number, blocks_of
from simmim.report.scale_facts import ResultFile, ScaleFacts
from simmim.report.status import NothingToDraw

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from simmim.report.results import Results

title = "Which block has the best features?"
section = "Features, block by block"
description = (
    "Top-1 of a linear classifier on the features of every block; the dot marks the block chosen on a part of the "
    "training images that is kept aside for it."
)


def needs(facts: ScaleFacts) -> list[ResultFile]:
    """Every linear probe of the scale."""
    return facts.evaluations("linear_probe")


def make(results: Results, facts: ScaleFacts) -> tuple[Figure, str]:
    """A line for each run, from the block nearest to the image on."""
    import matplotlib.pyplot as plt

    from simmim.report.figures._lines import colours_of, counts_words, draw_runs

    frame = _of_one_probe(results.records, facts)
    blocks = frame[(frame["metric"] == "top1") & frame["part"].isin(blocks_of(frame))]
    blocks = blocks.assign(block=blocks["part"].map(block_number))
    runs = facts.trained_first(blocks["run"])
    if not runs:
        raise NothingToDraw("No block of an encoder was probed")
    figure, axis = plt.subplots(figsize=(6.4, 4.4), layout="constrained")
    draw_runs(axis, blocks, runs, facts, "block")
    for run, colour in colours_of(runs, facts).items():
        _mark_chosen(axis, frame[frame["run"] == run], blocks[blocks["run"] == run], colour)
    axis.set(title="Linear probe by block", xlabel="block (1: nearest to the image)", ylabel="top-1 (%)")
    axis.xaxis.get_major_locator().set_params(integer=True)
    caption = (
        "A linear classifier on the averaged features of each block, on the validation images "
        f"({facts.evaluation_label(blocks['evaluation'].iloc[0])}). Thin lines: pre-trainings; thick: their mean where "
        f"there are at least {ENOUGH_FOR_A_MEAN} ({counts_words(frame, runs)}). Dot: the block chosen most often, by "
        "its selection accuracy on a part of the training images. Dashed: encoders without pre-training. The vertical "
        f"axis does not begin at zero.{facts.naming_note()}"
    )
    return figure, caption


def _of_one_probe(frame: pd.DataFrame, facts: ScaleFacts) -> pd.DataFrame:
    """Of several probes of a run only the first of the sheet: they are different quantities."""
    return frame[frame["evaluation"].isin(facts.in_order(frame["evaluation"])[:1])]


def _mark_chosen(axis: Axes, rows: pd.DataFrame, blocks: pd.DataFrame, colour: str) -> None:
    """A dot on the block that a run's seeds choose most often, or on each pre-training's where no mean is drawn."""
    from simmim.report.figures._lines import has_mean, per_pretraining

    lines, chosen = per_pretraining(blocks, "block"), rows[rows["metric"] == "chosen_block"]
    if has_mean(lines):
        lines, chosen = lines.assign(pretraining=0), chosen.assign(pretraining=0)
    picked = chosen.groupby("pretraining")["value"].agg(lambda votes: votes.mode().iloc[0])
    shown = lines[lines["block"] == lines["pretraining"].map(picked)]
    dots = shown.groupby(["pretraining", "block"], as_index=False)["value"].mean()[["block", "value"]]
    for x, y in dots.itertuples(index=False, name=None):
        axis.plot([x], [y], "o", ms=7, color=colour, mec="white", mew=1.2, zorder=5)
