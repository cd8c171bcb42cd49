"""The contract of an evaluation task, and what one is given.

A task is a package of `simmim.evaluate`, known by its name alone. Its `settings.py` holds one public class, a
`TaskSettings` (torch-free, with the traits by which the rest of the project treats the task); its `task.py` holds one
public class, a `Task`. `simmim.evaluate.job` runs it; nothing else has to name it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from simmim.config.sections import TaskSettings
from simmim.config.training import TrainSettings
from simmim.data.shards import Shards
from simmim.evaluate.feature_rows import Features
from simmim.train.parameter_groups import parameter_groups
from simmim.train.task import TrainData, TrainTask

Row = tuple[str, str, float]  # metric, part (a block, a class, "" for the whole), value


@dataclass(frozen=True)
class Inputs:
    """What a task is given for one seed.

    Args:
        settings: of the task's own class.
        training: settings of the training loop, None for a task that trains nothing.
        seed: of everything that is drawn.
        device: where the module is scored.
        sets: packed sets by split: 'train', 'val' and, of a task that scores it, 'extra'.
        encoder: the pre-trained encoder on the CPU, fitted to the task's input size; None for frozen features.
        header: of the encoder's file; `mean` and `std` are per channel, of images in [0, 1].
        features: of a task that reads frozen features, those of 'train' and 'val'.
    """

    settings: TaskSettings
    training: TrainSettings | None
    seed: int
    device: torch.device
    sets: Mapping[str, Shards]
    encoder: nn.Module | None = None
    header: Mapping[str, Any] = field(default_factory=dict)
    features: Mapping[str, Features] = field(default_factory=dict)

    @property
    def classes(self) -> list[str]:
        """Names of the classes, the same in every split."""
        return self.sets["train"].classes


class Task(ABC):
    """One evaluation with one seed: what is trained, on which samples, and how it is scored.

    The job calls `check_set` for every split, then for each seed, with the libraries' generators seeded: the
    constructor, `module`, `dataset`, `groups`, and `score` for every split but 'train'. A task that trains nothing
    (`trains = False` in its settings) implements `score` only.

    Raises:
        ValueError: from `check_encoder`.
    """

    def __init__(self, inputs: Inputs) -> None:
        self.inputs = inputs
        if inputs.encoder is not None:
            self.check_encoder(inputs.encoder, len(inputs.header["mean"]), inputs.settings)

    @classmethod  # noqa: B027 - most tasks take any encoder
    def check_encoder(cls, encoder: nn.Module, channels: int, settings: Any) -> None:
        """Refuse an encoder that the task cannot use; `simmim check` asks before anything is trained.

        Args:
            encoder: at the task's input size, possibly on the meta device.
            channels: of its images.

        Raises:
            ValueError: saying what does not fit.
        """

    @classmethod  # noqa: B027 - a task may take any set
    def check_set(cls, shards: Shards) -> None:
        """Refuse a packed set, of whichever split, that the task cannot train on or score.

        Raises:
            ValueError: saying what it lacks.
        """

    def module(self) -> TrainTask | None:
        """What is trained: `module(batch)` is the mean loss of a batch of `dataset`."""
        return None

    def dataset(self) -> TrainData:
        """Training samples."""
        raise NotImplementedError(f"{type(self).__module__} trains nothing")

    def groups(self, module: TrainTask) -> list[dict[str, Any]]:
        """Parameter groups of the optimiser: by layer of the encoder, one group where features are frozen."""
        training, encoder = self.inputs.training, self.inputs.encoder
        if encoder is None:
            return [{"params": list(module.parameters()), "weight_decay": training.weight_decay}]
        prefix = next(name for name, part in module.named_modules() if part is encoder) + "."
        skip = encoder.no_weight_decay()
        return parameter_groups(module, prefix, training.weight_decay, training.layer_decay, skip)

    @abstractmethod
    def score(self, module: TrainTask | None, split: str) -> list[Row]:
        """Metrics of one split, the same on every process; accuracies and the like in percent.

        Args:
            module: what `module` returned, trained.
            split: a key of `inputs.sets`.
        """
