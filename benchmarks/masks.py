"""Cost of drawing each mask beside a training step of a micro Swin on 64-px images, one thread.

    python benchmarks/masks.py [--batch 128] [--turns 7]

The masks have the finest cells there are, single tokens. The goal: 50 times as many images a second as the step, so
that a mask costs less than 2 % of it.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator

import numpy as np
import torch
from measure import Measured, Way, compare, table
from steps import batch_for, ours, step_of

from simmim import plugin
from simmim.plugin import Component
from simmim.rng import KeyedGenerator
from simmim.train.processes import autocast_dtype
from simmim.train.sharding import clip_gradients

TOKENS = 16, 16  # of the micro Swin
HARDER = [Component(name="block", ratio=0.9), Component(name="random", ratio=0.9), Component(name="square", ratio=0.6)]
BATCHES = 20  # a turn, of masks


def draw_of(section: Component, batch: int) -> Way:
    """The masks of some batches."""
    mask, epochs = plugin.build("masks", section), itertools.count()

    def draw() -> int:
        for _ in range(BATCHES):
            mask.sample(batch, TOKENS, KeyedGenerator(0, next(epochs), np.arange(batch), "mask"))
        return BATCHES * batch

    return draw


def measured(batch: int, turns: int) -> Iterator[Measured]:
    """A row for the step, and for each mask."""
    device = torch.device("cpu")
    step = step_of(
        ours("micro"), batch_for("micro", batch, device), autocast_dtype("auto", device), True, clip_gradients
    )
    sections = [Component(name=name) for name in plugin.names("masks")] + HARDER
    masks = {str(plugin.build("masks", section)): draw_of(section, batch) for section in sections}
    yield from compare("masks", {"step micro": step} | masks, turns, dict.fromkeys(masks, 50.0))


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=128, help="images of a step")
    parser.add_argument("--turns", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(1)  # masks are drawn in one thread too
    print(table(list(measured(options.batch, options.turns))))


if __name__ == "__main__":
    main()
