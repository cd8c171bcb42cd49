"""Linear classifiers on frozen features, one for every block, trained at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import Dataset

from simmim.evaluate.feature_rows import CHUNK, Features
from simmim.rng import Key
from simmim.train.processes import my_batches, sum_over_processes
from simmim.train.task import TrainTask


class Probe(TrainTask):
    """One linear classifier per block, trained side by side: their losses are summed and share no parameter."""

    def __init__(self, widths: Sequence[int], classes: int) -> None:
        super().__init__()
        self.heads = nn.ModuleList(nn.Linear(width, classes) for width in widths)
        for head in self.heads:
            nn.init.zeros_(head.weight)
            nn.init.zeros_(head.bias)

    def forward(self, batch: dict[str, Any]) -> Tensor:
        """Summed mean cross-entropy of `features`, a list of [b, d], and `labels` int64 [b]."""
        logits = (head(block) for head, block in zip(self.heads, batch["features"]))
        return sum(F.cross_entropy(each.float(), batch["labels"]) for each in logits)

    @torch.inference_mode()
    def accuracies(self, features: Features) -> list[float]:
        """Accuracy of every block in percent; each process takes its share of the images."""
        device = self.heads[0].weight.device
        right = torch.zeros(len(self.heads), device=device)
        for mine in my_batches(len(features), CHUNK):
            chosen = torch.tensor(mine)
            labels = features.labels[chosen].to(device)
            for block, head in enumerate(self.heads):
                logits = head(features.read(block, chosen).to(device))
                right[block] += (logits.argmax(1) == labels).sum()
        return [100 * share for share in (sum_over_processes(right) / len(features)).tolist()]


class FeatureSet(Dataset):
    """Batches of features, read from disk by row."""

    def __init__(self, features: Features) -> None:
        self._features = features

    def __len__(self) -> int:
        return len(self._features)

    @property
    def sample_ids(self) -> list[str]:
        """Rows among the kept training images."""
        return [f"row {row}" for row in range(len(self))]

    def __getitems__(self, keys: Sequence[Key]) -> dict[str, Any]:
        chosen = torch.tensor([sample for _, sample in keys])
        blocks = [self._features.read(block, chosen) for block in range(len(self._features.maps))]
        return {"features": blocks, "labels": self._features.labels[chosen]}
