"""What does saving ViT-B with its moments cost, phase by phase? Prints a table; nothing stays on the disk.

python benchmarks/saving.py --times 5 --folder results
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from unittest.mock import patch

import torch
from torch import nn

from simmim.config.training import TrainSettings
from simmim.encoders.vit import ViT
from simmim.storage import model_file
from simmim.train import checkpoint

PHASES = "write", "fsync", "digest"


def trained(model: nn.Module) -> torch.optim.Optimizer:
    """An optimiser that has made an update."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0, fused=True)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    return optimizer


@contextmanager
def timed(seconds: dict[str, float]) -> Iterator[None]:
    """Within the block, seconds by phase are added up."""

    def timing(phase: str, function: Callable) -> Callable:
        def call(*arguments: object) -> object:
            began = time.perf_counter()
            try:
                return function(*arguments)
            finally:
                seconds[phase] += time.perf_counter() - began

        return call

    with (
        patch.object(model_file, "save_file", timing("write", model_file.save_file)),
        patch.object(os, "fsync", timing("fsync", os.fsync)),
        patch.object(checkpoint, "sha256_file", timing("digest", checkpoint.sha256_file)),
    ):
        yield


def saved(folder: Path, step: int, model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, float]:
    """Seconds of one save by phase; copying the tensors is what is left of it."""
    seconds: dict[str, float] = defaultdict(float)
    began = time.perf_counter()
    with timed(seconds):
        checkpoint.save(folder, step, model, optimizer)
    whole = time.perf_counter() - began
    rest = whole - sum(seconds[phase] for phase in PHASES)
    return {phase: seconds[phase] for phase in PHASES} | {"copy and the rest": rest, "in all": whole}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=None, help="on the disk that is asked about")
    options = parser.parse_args()
    model = ViT(image_px=(224, 224))  # the defaults are those of ViT-B
    optimizer = trained(model)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        runs = [saved(Path(folder), step, model, optimizer) for step in range(1, options.times + 1)]
        size = sum(file.stat().st_size for file in max(Path(folder).glob("step-*")).iterdir())
    fields = TrainSettings.model_fields
    every = 60 * fields["save_every_minutes"].default
    print(
        f"{size / 1e9:.2f} GB, {options.times} saves: median (least to most) seconds, share of {every / 60:g} minutes"
    )
    for phase in runs[0]:
        values = sorted(run[phase] for run in runs)
        middle = median(values)
        print(f"{phase:18} {middle:6.2f} ({values[0]:.2f} to {values[-1]:.2f}) {100 * middle / every:6.2f} %")


if __name__ == "__main__":
    main()
