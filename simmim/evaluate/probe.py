"""Linear probe of every block at once (section 4.2: SimMIM's best features lie in intermediate layers)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import Dataset

from simmim.evaluate.features import Features, rows_of_blocks


class Probe(nn.Module):
    """One linear classifier per block, trained side by side: their losses are summed and share no parameter."""

    def __init__(self, widths: Sequence[int], classes: int) -> None:
        super().__init__()
        self.heads = nn.ModuleList(nn.Linear(width, classes) for width in widths)
        for head in self.heads:
            nn.init.zeros_(head.weight)
            nn.init.zeros_(head.bias)

    def forward(self, batch: dict[str, Any]) -> Tensor:
        """Summed mean cross-entropy of `features`, a list of [b, d], and `labels` int64 [b]."""
        logits = self.predict(batch["features"])
        return sum(F.cross_entropy(each.float(), batch["labels"]) for each in logits)

    def predict(self, blocks: list[Tensor]) -> list[Tensor]:
        """Logits [n, classes] of every block."""
        return [head(block) for head, block in zip(self.heads, blocks)]

    @torch.inference_mode()
    def accuracies(self, features: Features) -> list[float]:
        """Accuracy of every block in percent."""
        device = self.heads[0].weight.device
        logits = [each.cpu() for each in self.predict([block.to(device) for block in features.blocks])]
        return [100 * (each.argmax(1) == features.labels).float().mean().item() for each in logits]


class FeatureSet(Dataset):
    """Batches of standardised features."""

    def __init__(self, features: Features) -> None:
        self._features = features

    def __len__(self) -> int:
        return len(self._features.labels)

    def __getitems__(self, keys: Sequence[tuple[int, int]]) -> dict[str, Any]:
        chosen = self._features[torch.tensor([sample for _, sample in keys])]
        return {"features": chosen.blocks, "labels": chosen.labels}


def rows(probe: Probe, held_out: Features, val: Features) -> list[tuple[str, str, float]]:
    """Accuracy of every block, and of the block that is best on held-out training images."""
    return rows_of_blocks(probe.accuracies(held_out), probe.accuracies(val))
