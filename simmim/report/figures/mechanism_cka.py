"""How alike the blocks of an encoder are: CKA of every two, a map for each run."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

from simmim.report.scale_facts import ResultFile, ScaleFacts
from simmim.report.status import NothingToDraw

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from simmim.report.results import Results

title = "Which blocks are alike?"
section = "Features, block by block"
description = "Centred kernel alignment (CKA) of the features of every two blocks, a map for each run."


def needs(facts: ScaleFacts) -> list[ResultFile]:
    """Every mechanism of the scale."""
    return facts.evaluations("mechanism")


def make(results: Results, facts: ScaleFacts) -> tuple[Figure, str]:
    """A line of maps for each encoder, from the block nearest to the image on."""
    import matplotlib.pyplot as plt
    import seaborn as sns

    from simmim.report.figures._lines import counts_words
    from simmim.report.figures._mechanism import runs_by_encoder

    frame = results.records[results.records["metric"] == "cka"]
    groups = runs_by_encoder(frame, facts)
    if not groups:
        raise NothingToDraw("No encoder was looked into")
    maps = {run: _map(frame[frame["run"] == run]) for run in itertools.chain(*groups)}
    lowest = math.floor(10 * min(each.min(axis=None) for each in maps.values())) / 10
    columns = max(map(len, groups))
    size = (2.4 * columns + 0.9, 2.8 * len(groups))
    figure, axes = plt.subplots(len(groups), columns, figsize=size, squeeze=False, layout="constrained")
    for runs, row_of_axes in zip(groups, axes):
        for axis, run in zip(row_of_axes, runs):
            shown = maps[run]
            step = max(1, len(shown) // 6)
            style = {"vmin": lowest, "vmax": 1, "cmap": "Blues", "square": True, "cbar": False}
            sns.heatmap(shown, xticklabels=step, yticklabels=step, ax=axis, **style)
            axis.invert_yaxis()
            axis.tick_params(axis="y", rotation=0)
            axis.set(title=facts.run_label(run), xlabel="block", ylabel="block" if axis is row_of_axes[0] else "")
        for axis in row_of_axes[len(runs) :]:
            axis.axis("off")
    figure.colorbar(axes[0, 0].collections[0], ax=axes, label="CKA", shrink=0.6)
    counts = counts_words(frame, itertools.chain(*groups))
    white = " White: not a number, as for fewer than four images." if frame["value"].isna().any() else ""
    caption = (
        "Linear CKA (arXiv 1905.00414) of the outputs of two blocks, averaged over tokens, on validation images; HSIC "
        f"is estimated without bias. Mean over pre-trainings ({counts}). 1: the same but for rotation and scale; 0: "
        f"nothing in common. Colours begin at {lowest:.1f}.{white}{facts.naming_note()}"
    )
    return figure, caption


def _map(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean over pre-trainings of one run, symmetric, by the numbers of the blocks; a block is like itself."""
    import numpy as np
    import pandas as pd

    means = rows.groupby(["part", "pretraining"])["value"].mean().groupby("part").mean()
    pairs = means.index.str.extract(r"block (\d+) block (\d+)").astype(int).to_numpy()
    blocks = pairs.max()
    found = np.eye(blocks)
    found[pairs[:, 0] - 1, pairs[:, 1] - 1] = found[pairs[:, 1] - 1, pairs[:, 0] - 1] = means
    return pd.DataFrame(found, index=range(1, blocks + 1), columns=range(1, blocks + 1))
