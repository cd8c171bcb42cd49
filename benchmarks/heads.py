"""Training cost of the prediction heads with Swin-B at 192 px beside the published one (Table 2).

    python benchmarks/heads.py [--batch 2] [--rounds 6]

Costs are relative to the linear head. Measured: forward and backward of one batch, processor time on CPUs and wall time
on GPUs, the fastest of several rounds in which the heads take turns, so that a busy machine disturbs all alike. The
update is left out: at the paper's batch of 2048 it hardly counts, at a batch of 2 it would be half of the step.
Counted: floating-point operations of the same.
"""

from __future__ import annotations

import argparse
import time

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from simmim.config.sections import GeometrySection, ImagesSection, LossSection
from simmim.methods.simmim import SimMIM
from simmim.plugin import Component
from simmim.train.processes import autocast_dtype

IMAGE_PX, MASKED_PATCH_PX = 192, 32
PUBLISHED = {  # millions of parameters, training cost
    "linear": (89.9, 1.0),
    "mlp": (90.9, 1.2),
    "inverse_swin_t": (115.2, 1.7),
    "inverse_swin_b": (174.8, 2.3),
}


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


def step(model: nn.Module, batch: int, device: torch.device) -> None:
    """Forward and backward of one batch, the gradients thrown away."""
    images = torch.full((batch, 3, IMAGE_PX, IMAGE_PX), 127, dtype=torch.uint8, device=device)
    hidden = torch.rand(batch, *model.geometry.cells, device=device) < 0.6
    model({"images": images, "hidden": model.geometry.cells_to_tokens(hidden)}).backward()
    model.zero_grad(set_to_none=True)


def timed(model: nn.Module, batch: int, device: torch.device) -> float:
    """Seconds of a step in the hardware's number format."""
    dtype = autocast_dtype("auto", device)
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    began = clock()
    with torch.autocast(device.type, dtype, enabled=dtype is not None):
        step(model, batch, device)
    if device.type == "cuda":
        torch.cuda.synchronize()
    return clock() - began


def fastest(models: dict[str, nn.Module], batch: int, rounds: int, device: torch.device) -> dict[str, float]:
    """Seconds of the fastest step of every model, after one that does not count."""
    taken = [{name: timed(model, batch, device) for name, model in models.items()} for _ in range(rounds + 1)]
    return {name: min(turn[name] for turn in taken[1:]) for name in models}


def operations(head: str) -> int:
    """Floating-point operations of a step with one image, counted without computing it."""
    counter = FlopCounterMode(display=False)
    with torch.device("meta"), counter:
        step(build(head), 1, torch.device("meta"))
    return counter.get_total_flops()


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=2, help="images of a step")
    parser.add_argument("--rounds", type=int, default=6, help="steps of each head that count")
    arguments = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    models = {head: build(head) for head in PUBLISHED}
    for model in models.values():
        model.encoder = models["linear"].encoder  # one is enough
        model.to(device)
    measured = fastest(models, arguments.batch, arguments.rounds, device)
    counted = {head: operations(head) for head in PUBLISHED}
    precision = "bf16" if autocast_dtype("auto", device) else "fp32"
    print(f"{device.type}, {torch.get_num_threads()} threads, {precision}, batch {arguments.batch}\n")
    print("| head | parameters, M | published | s per step | measured cost | counted cost | published cost |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for head, (millions, cost) in PUBLISHED.items():
        parameters = sum(parameter.numel() for parameter in models[head].parameters()) / 1e6
        relative = measured[head] / measured["linear"], counted[head] / counted["linear"]
        cells = f"{parameters:.1f}", millions, f"{measured[head]:.2f}", *(f"{value:.2f}x" for value in relative)
        print(f"| {head} | {' | '.join(map(str, cells))} | {cost}x |")


if __name__ == "__main__":
    main()
