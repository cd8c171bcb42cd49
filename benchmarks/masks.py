"""Cost of drawing each mask beside a training step of a micro Swin on 64-px images, per image, on this machine.

    python benchmarks/masks.py [--batch 128] [--rounds 7]

The masks have the finest cells there are, single tokens. Compared is processor time in one thread; step and masks take
turns and the fastest round of each counts, so that a busy machine disturbs them little. The exit code is 1 if a mask
costs 2 % of the step or more.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping

import numpy as np
import torch

from simmim import plugin
from simmim.config.sections import GeometrySection, ImagesSection, LossSection
from simmim.methods.simmim import SimMIM
from simmim.plugin import Component
from simmim.rng import KeyedGenerator
from simmim.train.processes import autocast_dtype

IMAGE_PX, TOKEN_PX = 64, 4
LIMIT = 0.02
HARDER = [Component(name="block", ratio=0.9), Component(name="random", ratio=0.9), Component(name="square", ratio=0.6)]


def micro_swin() -> SimMIM:
    """Three stages, 2.3 million parameters."""
    sizes = {"patch_px": TOKEN_PX, "embed_dim": 48, "depths": (2, 2, 4), "num_heads": (3, 6, 12), "window": 4}
    return SimMIM(
        encoder=Component(name="swin", **sizes),
        geometry=GeometrySection(image_px=IMAGE_PX, masked_patch_px=TOKEN_PX),
        images=ImagesSection(),
        mask=Component(name="random"),
        head=Component(name="linear"),
        target=Component(name="pixels"),
        loss=LossSection(),
    ).train()


def step_of(batch: int) -> Callable[[int], None]:
    """One training step: forward, backward and update."""
    model = micro_swin()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    dtype = autocast_dtype("auto", torch.device("cpu"))
    images = torch.randint(256, (batch, 3, IMAGE_PX, IMAGE_PX)).byte()
    hidden = torch.rand(batch, *model.geometry.tokens) < 0.6

    def step(epoch: int) -> None:
        with torch.autocast("cpu", dtype, enabled=dtype is not None):
            loss = model({"images": images, "hidden": hidden})
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def draw_of(section: Component, batch: int) -> Callable[[int], None]:
    """The masks of one batch."""
    mask, side = plugin.build("masks", section), IMAGE_PX // TOKEN_PX

    def draw(epoch: int) -> None:
        mask.sample(batch, (side, side), KeyedGenerator(0, epoch, np.arange(batch), "mask"))

    return draw


def fastest_seconds(jobs: Mapping[str, Callable[[int], None]], rounds: int) -> dict[str, float]:
    """The fastest round of each, after one that does not count."""
    seconds = dict.fromkeys(jobs, float("inf"))
    for turn in range(rounds + 1):
        for name, job in jobs.items():
            began = time.process_time()
            job(turn)
            if turn:
                seconds[name] = min(seconds[name], time.process_time() - began)
    return seconds


def main() -> int:
    """Measure and print the table; 1 if a mask is too slow."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=128, help="images of a step")
    parser.add_argument("--rounds", type=int, default=7, help="steps, and batches of each mask, that count")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # masks are drawn in one thread too
    sections = [Component(name=name) for name in plugin.names("masks")] + HARDER
    draws = {str(plugin.build("masks", section)): draw_of(section, arguments.batch) for section in sections}
    seconds = fastest_seconds({"step": step_of(arguments.batch)} | draws, arguments.rounds)
    step = seconds.pop("step")
    cells = IMAGE_PX // TOKEN_PX
    print(f"one thread, batch {arguments.batch}: a step takes {1e6 * step / arguments.batch:.0f} µs an image\n")
    print(f"| mask on {cells} x {cells} cells | µs an image | share of the step |\n| --- | --- | --- |")
    for name, each in seconds.items():
        print(f"| `{name}` | {1e6 * each / arguments.batch:.1f} | {100 * each / step:.2f} % |")
    return int(max(seconds.values()) >= LIMIT * step)


if __name__ == "__main__":
    sys.exit(main())
