"""Weighted nearest-neighbour vote on frozen features (k = 20, T = 0.07 as in arXiv 1805.01978 and 2104.14294)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from simmim.evaluate.classify_settings import FrozenSettings
from simmim.evaluate.features import Features, rows_of_blocks, split_held_out


def rows(
    train: Features, val: Features, settings: FrozenSettings, seed: int, classes: int
) -> list[tuple[str, str, float]]:
    """Accuracy of every block in percent, and of the block chosen on held-out training images."""
    kept, held_out = split_held_out(train, settings.held_out, seed)
    chosen_on = [
        accuracy(*pair, kept.labels, held_out.labels, settings, classes) for pair in zip(kept.blocks, held_out.blocks)
    ]
    final = [accuracy(*pair, train.labels, val.labels, settings, classes) for pair in zip(train.blocks, val.blocks)]
    return rows_of_blocks(chosen_on, final)


def accuracy(
    bank: Tensor, queries: Tensor, bank_labels: Tensor, labels: Tensor, settings: FrozenSettings, classes: int
) -> float:
    """Percent of queries [m, d] whose weighted vote among their k nearest of the bank [n, d] is right."""
    bank, queries = F.normalize(bank, dim=1), F.normalize(queries, dim=1)
    right = 0
    for part, truth in zip(queries.split(1024), labels.split(1024)):
        cosine, nearest = (part @ bank.T).topk(min(settings.neighbours, len(bank)), dim=1)  # [m, k]
        votes = torch.zeros(len(part), classes, device=bank.device)
        votes.scatter_add_(1, bank_labels[nearest], (cosine / settings.temperature).exp())
        right += int((votes.argmax(1) == truth).sum())
    return 100 * right / len(labels)
