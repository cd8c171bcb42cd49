"""Training cost of the prediction heads with Swin-B at 192 px beside the published one (Table 2).

    python benchmarks/heads.py [--batch 2] [--turns 6]

A step is forward and backward of one batch in the hardware's number format. The update is left out: at the paper's
batch of 2048 it hardly counts, at a batch of 2 it would be half of the step. The goal is the speed that the published
cost is: a head that costs 1.2x trains 0.83x as many images a second as the linear one.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator

import torch
from measure import Measured, Way, compare, cpu_seconds, table

from simmim.config.sections import GeometrySection, ImagesSection, LossSection
from simmim.methods.simmim import SimMIM
from simmim.plugin import Component
from simmim.train.processes import autocast_dtype

IMAGE_PX, MASKED_PATCH_PX = 192, 32
PUBLISHED = {"linear": 1.0, "mlp": 1.2, "inverse_swin_t": 1.7, "inverse_swin_b": 2.3}  # training cost


def build(head: str) -> SimMIM:
    """SimMIM of the paper's ablations with this head, in training mode."""
    return SimMIM(
        encoder=Component(name="swin"),
        geometry=GeometrySection(image_px=IMAGE_PX, masked_patch_px=MASKED_PATCH_PX),
        images=ImagesSection(),
        mask=Component(name="random"),
        head=Component(name=head),
        target=Component(name="pixels"),
        loss=LossSection(),
    ).train()


def step_of(model: SimMIM, batch: int, device: torch.device) -> Way:
    """Forward and backward of one batch, the gradients thrown away."""
    dtype = autocast_dtype("auto", device)
    images = torch.full((batch, 3, IMAGE_PX, IMAGE_PX), 127, dtype=torch.uint8, device=device)
    hidden = model.geometry.cells_to_tokens(torch.rand(batch, *model.geometry.cells, device=device) < 0.6)

    def step() -> int:
        with torch.autocast(device.type, dtype, enabled=dtype is not None):
            model({"images": images, "hidden": hidden}).backward()
        model.zero_grad(set_to_none=True)
        if device.type == "cuda":
            torch.cuda.synchronize()
        return batch

    return step


def measured(batch: int, turns: int, device: torch.device) -> Iterator[Measured]:
    """A row for each head; one encoder is enough for all."""
    models = {head: build(head) for head in PUBLISHED}
    for model in models.values():
        model.encoder = models["linear"].encoder
        model.to(device)
    ways = {head: step_of(model, batch, device) for head, model in models.items()}
    goals = {head: round(1 / cost, 2) for head, cost in PUBLISHED.items() if cost > 1}
    clock = time.perf_counter if device.type == "cuda" else cpu_seconds
    yield from compare("step by head, Swin-B", ways, turns, goals, clock)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=2, help="images of a step")
    parser.add_argument("--turns", type=int, default=6)
    options = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    print(table(list(measured(options.batch, options.turns, device))))


if __name__ == "__main__":
    main()
