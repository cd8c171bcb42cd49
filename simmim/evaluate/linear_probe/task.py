"""Linear probe of every block at once (section 4.2: SimMIM's best features lie in intermediate layers)."""

from __future__ import annotations

import functools

from torch import nn
from torch.utils.data import Dataset

from simmim.evaluate.feature_rows import Features, rows_of_blocks
from simmim.evaluate.frozen_task import FrozenTask
from simmim.evaluate.linear_probe.probe import FeatureSet, Probe
from simmim.evaluate.task import Row


class LinearProbe(FrozenTask):
    """Linear classifiers on features standardised by the kept part of the training set."""

    def module(self) -> Probe:
        return Probe(self.train.widths, len(self.inputs.classes))

    def dataset(self) -> Dataset:
        return FeatureSet(self._kept)

    def score(self, module: nn.Module, split: str) -> list[Row]:
        """Accuracy of every block, and of the block that is best on held-out training images."""
        held_out, final = (self._standardised(each) for each in (self.parts[1], self.inputs.features[split]))
        return rows_of_blocks(module.accuracies(held_out), module.accuracies(final))

    @functools.cached_property
    def _kept(self) -> Features:
        return self.parts[0].standardised_by(self.parts[0])

    def _standardised(self, features: Features) -> Features:
        return Features(features.maps, features.labels, features.rows, self._kept.moments)
