"""Lines: training losses over epochs of work, and the linear probe over the encoder's blocks."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from simmim.report.measurements import SEEDS_FOR_A_MEAN
from simmim.report.names import REFERENCE_RUN, Facts
from simmim.report.own_tables import block_number
from simmim.report.style import HAIRLINE, INK, MUTED, SCRATCH, colours, spread_labels

_PANELS_A_LINE = 3
_NAMED_RUNS = 8  # of a panel with more, only the reference run is told from the others


def losses(frame: pd.DataFrame, scale: str, facts: Facts) -> tuple[Figure, str, str]:
    """Training loss of every run and seed; a panel per kind of loss, since these are different quantities."""
    frame = frame[(frame["task"] == "pretrain") & (frame["metric"] == "loss")]
    runs = [run for run in facts.losses if run in set(frame["run"])]
    kinds = list(dict.fromkeys(facts.losses[run] for run in runs)) or ["l1 on pixels, masked area"]
    columns = min(len(kinds), _PANELS_A_LINE)
    lines = -(-len(kinds) // columns)
    size = (4.6 * columns, 3.4 * lines)
    figure, axes = plt.subplots(lines, columns, figsize=size, squeeze=False, layout="constrained")
    for axis, kind in zip(axes.flat, kinds):
        _lines(axis, frame, [run for run in runs if facts.losses[run] == kind], facts, ("step", "value"))
        axis.set(title=kind, xlabel="update", ylabel="loss")
        axis.margins(x=0.02)
        axis.grid(axis="y")
    for axis in axes.flat[len(kinds) :]:
        axis.axis("off")
    caption = (
        "Training loss, each point the mean since the one before. One thin line per seed, a thick one for their mean "
        f"where there are at least {SEEDS_FOR_A_MEAN} ({_seeds_words(frame, runs)}). Different losses, targets and "
        "areas are different quantities, hence a panel for each; the loss on the full image includes visible pixels, "
        "which are easy. The vertical axes do not begin at zero."
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
    named = runs if len(runs) <= _NAMED_RUNS else [run for run in runs if run == REFERENCE_RUN]
    for run in sorted(runs, key=lambda run: run in named):  # the named ones on top
        colour, dashes = (palette[run], "-") if run in facts.loss_areas else (SCRATCH, (0, (4, 2)))
        colour = colour if run in named else HAIRLINE
        mine = frame[frame["run"] == run]
        seeds = mine["seed"].nunique()
        claims = seeds >= SEEDS_FOR_A_MEAN
        for _, one in mine.groupby("seed"):
            one = one.sort_values(x)
            axis.plot(one[x], one[y], color=colour, ls=dashes, lw=0.7 if claims else 1.5, alpha=0.35 if claims else 0.9)
        mean = mine.groupby(x)[y].mean()
        if claims:
            axis.plot(mean.index, mean, color=colour, ls=dashes, lw=2.0)
        if run in named:
            ends.append((run, mean.index[-1], mean.iloc[-1], colour))
    if len(named) < len(runs):
        words = f"grey: {len(runs) - len(named)} {'more ' if named else ''}runs"
        axis.text(0.98, 0.95, words, transform=axis.transAxes, ha="right", va="top", color=MUTED, fontsize=8)
    _label_ends(axis, ends, bool(runs))


def _label_ends(axis: Axes, ends: list[tuple[str, float, float, str]], drawn: bool) -> None:
    """Write each run's name where its line ends, apart from others that end at the same place."""
    if not drawn:
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
    if len(counts) > _NAMED_RUNS:
        few, many = min(counts.values()), max(counts.values())
        return f"{len(counts)} runs of {few if few == many else f'{few} to {many}'} seeds each"
    return "seeds: " + ", ".join(f"{run} {count}" for run, count in counts.items())
