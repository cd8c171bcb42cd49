"""Evaluations that read frozen features: the linear probe of every block and the vote of the nearest neighbours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simmim.data.shards import Shards
from simmim.evaluate.feature_rows import Features, split_held_out
from simmim.evaluate.feature_sets import feature_config
from simmim.evaluate.features import open_features
from simmim.evaluate.knn import task as knn
from simmim.evaluate.linear_probe import task as probe

if TYPE_CHECKING:
    from simmim.evaluate.job import Job, Row


def probe_rows(job: Job) -> tuple[list[dict[str, float]], list[Row]]:
    """Train linear classifiers on standardised features; log of the training, and accuracies."""
    train, val = _features(job)
    kept, held_out = split_held_out(train, job.settings.held_out, job.seed)
    kept = kept.standardised_by(kept)
    held_out, val = (Features(each.maps, each.labels, each.rows, kept.moments) for each in (held_out, val))
    task = probe.Probe(kept.widths, len(job.train.classes))
    groups = [{"params": list(task.parameters()), "weight_decay": job.training.weight_decay}]
    history = job.fit(task, probe.FeatureSet(kept), groups)
    return history, probe.rows(task, held_out, val)


def knn_rows(job: Job) -> tuple[list[dict[str, float]], list[Row]]:
    """Accuracies of the vote; nothing is trained."""
    train, val = _features(job)
    return [], knn.rows(train, val, job.settings, job.seed, len(job.train.classes), job.processes.device)


def _features(job: Job) -> tuple[Features, Features]:
    """Features of the training and of the evaluation set."""
    return tuple(_of_split(job, split, shards) for split, shards in (("train", job.train), ("val", job.val)))


def _of_split(job: Job, split: str, shards: Shards) -> Features:
    return open_features(job.features[split], feature_config(job.config, split), job.encoder_file, shards)
