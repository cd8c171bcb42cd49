"""A small task and data set for tests of the loop."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset

from simmim.rng import KeyedGenerator
from simmim.train.task import TrainTask


class Regression(TrainTask):
    """A two-layer network that fits the sum of its inputs; `dropout` draws from torch's generator."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Dropout(dropout), nn.Linear(16, 1))

    def forward(self, batch):
        return (self.net(batch["x"])[:, 0] - batch["x"].sum(1)).abs().mean()


class Numbers(Dataset):
    """40 samples of 8 numbers with noise drawn per (epoch, sample); `spoilt` gives a NaN once it is met."""

    def __init__(self, spoilt: int | None = None) -> None:
        self._spoilt = spoilt
        self.seen: list[tuple[int, int]] = []

    @property
    def sample_ids(self) -> list[str]:
        return [f"sample-{index}" for index in range(40)]

    def __len__(self) -> int:
        return 40

    def __getitems__(self, keys):
        self.seen += keys
        epochs, samples = np.array(keys).T
        x = KeyedGenerator(0, epochs, samples, "numbers").uniform(8).astype(np.float32)
        x[samples == self._spoilt] = np.nan
        return {"x": torch.from_numpy(x)}


def make_task(dropout: float = 0.0) -> Regression:
    torch.manual_seed(0)
    return Regression(dropout)
