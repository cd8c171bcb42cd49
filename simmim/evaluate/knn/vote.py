"""Weighted vote of the nearest neighbours among frozen features (arXiv 1805.01978 and 2104.14294).

Letters: m queries, n neighbours to choose from, k of them that vote, d channels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from simmim.evaluate.feature_rows import Features
from simmim.evaluate.knn.settings import KnnSettings
from simmim.train.processes import my_share, sum_over_processes

QUERIES = 1024  # at a time


def accuracy(
    bank: Features, queries: Features, block: int, settings: KnnSettings, classes: int, device: torch.device
) -> float:
    """Percent of the queries that the vote of their nearest in the bank gets right; each process takes its share."""
    mine = torch.tensor(my_share(len(queries)), dtype=torch.int64)
    wanted = F.normalize(queries.read(block, mine).to(device), dim=1).split(QUERIES)
    labels, truth = bank.labels.to(device), queries.labels[mine].to(device).split(QUERIES)
    right = torch.zeros((), dtype=torch.int64, device=device)
    for (cosine, nearest), true in zip(_nearest(bank, block, wanted, settings.neighbours), truth):
        votes = torch.zeros(len(true), classes, device=device)
        votes.scatter_add_(1, labels[nearest], (cosine / settings.temperature).exp())
        right += (votes.argmax(1) == true).sum()
    return 100 * int(sum_over_processes(right)) / len(queries)


def _nearest(bank: Features, block: int, queries: tuple[Tensor, ...], k: int) -> list[tuple[Tensor, Tensor]]:
    """Cosine and place in the bank of the k nearest [m, k] of every part of the queries; the bank is read once."""
    best: list[tuple[Tensor, Tensor]] = []
    first = 0
    for chunk in bank.chunks(block):
        keys = F.normalize(chunk.to(queries[0].device), dim=1).T  # [d, n]
        found = [(part @ keys).topk(min(k, keys.shape[1]), dim=1) for part in queries]
        found = [(cosine, place + first) for cosine, place in found]
        best = [_merged(*pair, k) for pair in zip(best, found)] if best else found
        first += len(chunk)
    return best


def _merged(one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor], k: int) -> tuple[Tensor, Tensor]:
    cosine, places = (torch.cat(both, dim=1) for both in zip(one, other))
    cosine, order = cosine.topk(min(k, cosine.shape[1]), dim=1)
    return cosine, places.gather(1, order)
