"""Weighted nearest-neighbour vote on the frozen features of every block."""

from __future__ import annotations

from simmim.evaluate.feature_rows import Features, rows_of_blocks
from simmim.evaluate.frozen_task import FrozenTask
from simmim.evaluate.knn.vote import accuracy
from simmim.evaluate.task import Row


class NearestNeighbours(FrozenTask):
    """Nothing is trained: the training set votes."""

    def score(self, module: None, split: str) -> list[Row]:
        """Accuracy of every block, and of the block that is best on held-out training images."""
        kept, held_out = self.parts
        return rows_of_blocks(
            self._accuracies(kept, held_out), self._accuracies(self.train, self.inputs.features[split])
        )

    def _accuracies(self, bank: Features, queries: Features) -> list[float]:
        settings, classes, device = self.inputs.settings, len(self.inputs.classes), self.inputs.device
        return [accuracy(bank, queries, block, settings, classes, device) for block in range(len(bank.maps))]
