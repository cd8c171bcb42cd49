"""Lines: training losses over epochs of work, and the linear probe over the encoder's blocks."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from simmim.report.measurements import SEEDS_FOR_A_MEAN
from simmim.report.names import Facts
from simmim.report.own_tables import block_number
from simmim.report.style import INK, SCRATCH, colours, spread_labels

_AREA_TITLES = {"masked": "Loss on the masked area", "full": "Loss on the full image"}


def losses(frame: pd.DataFrame, scale: str, facts: Facts) -> tuple[Figure, str, str]:
    """Training loss of every run and seed; a panel per loss area, since these are different quantities."""
    frame = frame[(frame["task"] == "pretrain") & (frame["metric"] == "loss")]
    runs = [run for run in facts.loss_areas if run in set(frame["run"])]
    areas = [area for area in _AREA_TITLES if area in {facts.loss_areas[run] for run in runs}] or ["masked"]
    figure, axes = plt.subplots(1, len(areas), figsize=(4.6 * len(areas), 3.4), squeeze=False, layout="constrained")
    for axis, area in zip(axes[0], areas):
        mine = [run for run in runs if facts.loss_areas[run] == area]
        _lines(axis, frame, mine, facts, ("step", "value"))
        axis.set(title=_AREA_TITLES[area], xlabel="update", ylabel="L1 (channel standard deviations)")
        axis.margins(x=0.02)
        axis.grid(axis="y")
    caption = (
        "Training loss, each point the mean since the one before. One thin line per seed, a thick one for their mean "
        f"where there are at least {SEEDS_FOR_A_MEAN} ({_seeds_words(frame, runs)}). The loss on the full image "
        "includes visible pixels, which are easy: it is another quantity than the loss on the masked area, hence a "
        "panel of its own. The vertical axes do not begin at zero."
    )
    return figure, "Pre-training losses", caption


def probe_blocks(frame: pd.DataFrame, scale: str, facts: Facts) -> tuple[Figure, str, str]:
    """Top-1 of the linear probe on each block's features, pre-trained runs in colour, random encoders in grey."""
    blocks = frame[(frame["metric"] == "top1") & frame["detail"].str.startswith("block ")]
    blocks = blocks.assign(block=blocks["detail"].map(block_number))
    runs = list(dict.fromkeys(blocks["run"]))
    ordered = [run for run in facts.loss_areas if run in runs] + [run for run in runs if run not in facts.loss_areas]
    figure, axis = plt.subplots(figsize=(6.4, 3.8), layout="constrained")
    _lines(axis, blocks, ordered, facts, ("block", "value"))
    for run in ordered:
        _mark_chosen(axis, frame, blocks, run, facts)
    axis.set(title="Linear probe by block", xlabel="block (1: nearest to the image)", ylabel="held-out top-1 (%)")
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.grid(axis="y")
    caption = (
        "A linear classifier on the averaged features of each block. Thin lines: seeds; thick: their mean where there "
        f"are at least {SEEDS_FOR_A_MEAN} ({_seeds_words(frame, ordered)}). Dot: the block chosen most often, on a "
        "held-out part of the training images. Grey: encoders without pre-training. The vertical axis does not begin "
        "at zero."
    )
    return figure, "Which block holds the best features?", caption


def _lines(axis: Axes, frame: pd.DataFrame, runs: list[str], facts: Facts, columns: tuple[str, str]) -> None:
    """Seeds thin, mean thick, and each run's name at the end of its line."""
    palette, ends = colours(list(facts.loss_areas)), []
    x, y = columns
    for run in runs:
        colour, dashes = (palette[run], "-") if run in facts.loss_areas else (SCRATCH, (0, (4, 2)))
        mine = frame[frame["run"] == run]
        seeds = mine["seed"].nunique()
        claims = seeds >= SEEDS_FOR_A_MEAN
        for _, one in mine.groupby("seed"):
            one = one.sort_values(x)
            axis.plot(one[x], one[y], color=colour, ls=dashes, lw=0.7 if claims else 1.5, alpha=0.35 if claims else 0.9)
        mean = mine.groupby(x)[y].mean()
        if claims:
            axis.plot(mean.index, mean, color=colour, ls=dashes, lw=2.0)
        ends.append((run, mean.index[-1], mean.iloc[-1], colour))
    _label_ends(axis, ends)


def _label_ends(axis: Axes, ends: list[tuple[str, float, float, str]]) -> None:
    """Write each run's name where its line ends, apart from others that end at the same place."""
    if not ends:
        axis.text(0.5, 0.5, "not run", transform=axis.transAxes, ha="center", color=INK)
    low, high = axis.get_ylim()
    for end in sorted({x for _, x, _, _ in ends}):
        there = [entry for entry in ends if entry[1] == end]
        heights = spread_labels([y for _, _, y, _ in there], 0.065 * (high - low))
        for (run, x, _, colour), height in zip(there, heights):
            axis.annotate(run, (x, height), xytext=(7, 0), textcoords="offset points", color=colour, fontsize=8,
                          va="center", annotation_clip=False)  # fmt: skip
    axis.set_ylim(low, high)


def _mark_chosen(axis: Axes, frame: pd.DataFrame, blocks: pd.DataFrame, run: str, facts: Facts) -> None:
    """A dot on the block chosen most often, or on every seed's own where no mean is drawn."""
    chosen = frame[(frame["run"] == run) & (frame["metric"] == "chosen_block")].set_index("seed")["value"]
    mine, colour = blocks[blocks["run"] == run], colours(list(facts.loss_areas)).get(run, SCRATCH)
    if len(chosen) >= SEEDS_FOR_A_MEAN:
        block = int(chosen.mode().iloc[0])
        dots = [(block, mine.loc[mine["block"] == block, "value"].mean())]
    else:
        picked = mine[mine["block"] == mine["seed"].map(chosen)]
        dots = list(picked[["block", "value"]].itertuples(index=False, name=None))
    for x, y in dots:
        axis.plot([x], [y], "o", ms=7, color=colour, mec="white", mew=1.2, zorder=5)


def _seeds_words(frame: pd.DataFrame, runs: list[str]) -> str:
    counts = {run: frame.loc[frame["run"] == run, "seed"].nunique() for run in runs}
    return "seeds: " + ", ".join(f"{run} {count}" for run, count in counts.items())
