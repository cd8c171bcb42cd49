"""What all evaluations of frozen features share: the parts of the training set, and the rows of a score."""

from __future__ import annotations

import functools

from simmim.data.requirements import require_labels
from simmim.data.shards import Shards
from simmim.evaluate.feature_rows import Features, split_held_out
from simmim.evaluate.task import Inputs, Task


class FrozenTask(Task):
    """Classification from the features of every block; the block is chosen on a held-out part of the training set.

    Attributes:
        train: features of the whole training set.
    """

    def __init__(self, inputs: Inputs) -> None:
        super().__init__(inputs)
        self.train = inputs.features["train"]

    @classmethod
    def check_set(cls, shards: Shards) -> None:
        require_labels(shards)

    @functools.cached_property
    def parts(self) -> tuple[Features, Features]:
        """The kept and the held-out part of the training set."""
        return split_held_out(self.train, self.inputs.settings.held_out, self.inputs.seed)
