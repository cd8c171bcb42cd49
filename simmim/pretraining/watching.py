"""Who looks on while a method is trained: pictures at a few moments, event files for TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from simmim.config.models import PretrainConfig
from simmim.data.shards import Shards
from simmim.plugin import NotInstalled
from simmim.pretraining.gallery import Moments
from simmim.storage.identity import Identity
from simmim.train.loop import Watcher


def watching(
    config: PretrainConfig,
    data: Mapping[str, Path],
    folder: Path,
    identity: Identity,
    *,
    gallery: bool,
    tensorboard: bool,
) -> list[Watcher]:
    """The watchers that were asked for; a method that hides nothing has no pictures.

    Args:
        data: packed sets by split.
        folder: of the pre-training.
        identity: of the pre-training.

    Raises:
        NotInstalled: without TensorBoard.
    """
    found: list[Watcher] = [Moments(config, Shards(data["val"]), folder, identity)] if gallery and config.mask else []
    return found + ([EventFiles(folder / "tensorboard")] if tensorboard else [])


class EventFiles:
    """Writes every row of the log for TensorBoard."""

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise NotInstalled("--tensorboard needs a package: pip install 'simmim[tensorboard]'") from None
        self._writer = SummaryWriter(str(folder))

    def __call__(self, step: int, steps: int, row: Mapping[str, float], task: Any) -> None:
        """One row."""
        for name in row.keys() - {"step"}:
            self._writer.add_scalar(name, row[name], step)
        self._writer.flush()
