"""What every job costs: images, FLOPs, GPU hours, memory, disk. Only the parameters and FLOPs of a network are exact.

    FLOPs      images x (3 x forward pass, 4 x with activation checkpointing) + scored images x forward pass
    GPU hours  FLOPs / (peak rate of the GPU x utilisation)
    memory     18 bytes a parameter (weight, gradient, two moments of AdamW in float32, weight in bfloat16)
               + 4 bytes a parameter that is not trained (tokenizer, teacher, frozen encoder)
               + images of a micro-batch x activations that the backward pass needs

Frozen features are one forward pass an image, and lie on disk until their probe or k-NN is done; the
votes of k-NN are not counted. A detector counts with all the regions it may draw, a scored image with the size of a
training image.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from simmim.config.first_stage import has_first_stage
from simmim.config.sheets import Sheets
from simmim.config.training import TrainSettings
from simmim.evaluate.feature_rows import CHUNK
from simmim.evaluate.feature_sets import FROZEN
from simmim.evaluate.knn.vote import QUERIES
from simmim.plan.data import DataSize, data_size
from simmim.plan.gpus import Machine
from simmim.plan.jobs import EVALUATE, FEATURES, FIRST_STAGE, PRETRAIN, TOKENIZER, Job
from simmim.plan.network import Network, key_of
from simmim.plan.pretraining_network import pretraining_network, tokenizer_network
from simmim.plan.transfer_network import transfer_network

_WEIGHT_BYTES, _BFLOAT16_BYTES = 4, 2
_TRAINED_BYTES = 4 * _WEIGHT_BYTES + _BFLOAT16_BYTES  # weight, gradient, two moments; autocast's copy of the weight
_CHECKPOINT_BYTES = 3 * _WEIGHT_BYTES  # weight, two moments
_CHECKPOINTS = 3  # the two newest are kept while a third is written
# Kept activations under bfloat16 autocast over those in float32, measured on the CPU: 0.57 for Swin-B, 0.69 for ViT-B.
_BFLOAT16_SHARE = 0.65


@dataclass(frozen=True)
class Cost:
    """Cost of a job, for the seeds that are to do (for all of a finished job); None where data decide and are not here.

    Args:
        images: that training, or the extraction of features, sees; a probe sees the features of as many.
        flops: of everything on the GPUs.
        memory_bytes: on each GPU.
        disk_bytes: what stays, or with features, what stays while evaluations read them.
        checkpoint_bytes: what lies beside it while the job runs.
    """

    parameters: int
    images: int | None
    flops: float | None
    memory_bytes: float
    disk_bytes: float
    checkpoint_bytes: float


class Costs:
    """Costs of the jobs of one scale on one machine."""

    def __init__(self, sheets: Sheets, scale: str, results: Path, machine: Machine) -> None:
        self.machine = machine
        self._sheets, self._scale, self._results = sheets, scale, results / scale
        self._sizes: dict[tuple[str, str], DataSize] = {}

    def of(self, job: Job) -> Cost:
        """Cost of a job."""
        network = self._network(job)
        images, flops = self._work(job, network)
        seeds = job.seeds_to_do or job.seeds
        return Cost(
            parameters=network.parameters,
            images=None if images is None else seeds * images,
            flops=None if flops is None else float(seeds * flops),
            memory_bytes=self._memory(job, network),
            disk_bytes=self._disk(job, network, seeds),
            checkpoint_bytes=0 if _is_frozen(job) else _CHECKPOINTS * _CHECKPOINT_BYTES * network.parameters,
        )

    def gpu_hours(self, flops: float | None) -> float | None:
        """Hours of one GPU for so many FLOPs."""
        rate = 1e12 * self.machine.gpu.peak_tflops * self.machine.utilisation
        return None if flops is None else flops / rate / 3600

    def size(self, job: Job, split: str) -> DataSize:
        """Size of a split of the data that a job reads."""
        described = job.config["data"][split]
        key = described["dataset"], described["split"]
        if key not in self._sizes:
            self._sizes[key] = data_size(self._sheets, self._results, described)
        return self._sizes[key]

    def _network(self, job: Job) -> Network:
        if job.kind == TOKENIZER:
            return tokenizer_network(key_of(job.config))
        if job.kind not in (FEATURES, EVALUATE):
            return pretraining_network(job.config)
        pretraining = self._sheets.pretraining(self._scale, job.run)
        classes = self.size(job, "train").classes or 1 if job.kind == EVALUATE else 1
        task = {"task": FROZEN[0]} if job.kind == FEATURES else {}
        return transfer_network(job.config | task, pretraining, classes)

    def _work(self, job: Job, network: Network) -> tuple[int | None, float | None]:
        """Images and FLOPs of one seed, None where the number of images is not known.

        Neither are there for a tokenizer with published weights or one that is fitted on the CPU.
        """
        if job.kind == FEATURES:
            samples = self.size(job, "set").samples
            return samples, None if samples is None else samples * network.forward_flops
        if _reads_features(job):
            return self._frozen_work(job, network)
        if not job.config["train"]:
            return 0, 0.0
        samples = self._training_samples(job)
        held_out = set(job.config["data"]) - {"train"} if job.kind in (PRETRAIN, EVALUATE) else ()
        scored = [self.size(job, split).samples for split in held_out]
        if None in (samples, *scored):
            return None, None
        images = self._steps(job, samples) * job.config["train"]["batch"]
        return images, images * network.train_flops + sum(scored) * network.score_flops

    def _training_samples(self, job: Job) -> int | None:
        """Images of the training set that the job uses."""
        train, per_class = self.size(job, "train"), job.config.get("settings", {}).get("labels_per_class")
        if per_class is None:
            return train.samples
        return per_class * train.classes if train.classes else None

    def _steps(self, job: Job, samples: int) -> int:
        """Updates; of a first stage without those of a shorter run, of a run those that follow its first stage."""
        settings = TrainSettings(**job.config["train"])
        if job.kind not in (FIRST_STAGE, PRETRAIN):
            return settings.steps(samples)
        stage = settings.first_stage_steps(samples) if has_first_stage(job.config) else 0
        if job.kind == PRETRAIN:
            return settings.steps(samples) - stage
        shorter = job.config["start"]["run"]
        if not shorter:
            return stage
        before = TrainSettings(**self._sheets.pretraining(self._scale, shorter)["train"])
        return stage - before.first_stage_steps(samples)

    def _frozen_work(self, job: Job, network: Network) -> tuple[int | None, float | None]:
        """Images whose features a probe sees in training, and its FLOPs; k-NN trains nothing."""
        train = self.size(job, "train")
        if not job.config["train"]:
            return 0, 0.0
        if train.samples is None:
            return None, None
        settings = TrainSettings(**job.config["train"])
        seen = settings.steps(round((1 - job.config["settings"]["held_out"]) * train.samples)) * settings.batch
        return seen, 3 * seen * 2 * sum(network.block_widths) * (train.classes or 1)

    def _memory(self, job: Job, network: Network) -> float:
        """Bytes on each GPU."""
        if job.kind == FEATURES:
            kept = network.kept_bytes / len(network.block_widths)  # one block at a time
            return _WEIGHT_BYTES * network.parameters + job.config["settings"]["score_batch"] * kept
        if _reads_features(job):
            return self._frozen_memory(job, network)
        if not job.config["train"] or not job.config["train"]["epochs"]:
            return _WEIGHT_BYTES * network.parameters
        settings = TrainSettings(**job.config["train"])
        share = 1.0 if settings.precision == "fp32" else _BFLOAT16_SHARE
        images = min(settings.micro_batch, math.ceil(settings.batch / self.machine.gpus))
        weights = _TRAINED_BYTES * network.parameters / (self.machine.gpus if settings.sharded else 1)
        return weights + _WEIGHT_BYTES * network.unlearnt.parameters + images * share * network.kept_bytes

    def _frozen_memory(self, job: Job, network: Network) -> float:
        """Bytes on each GPU of what reads features: the probe's weights and a batch, or a part of the bank of k-NN."""
        widths = network.block_widths
        if not job.config["train"]:
            return _WEIGHT_BYTES * CHUNK * (2 * max(widths) + QUERIES)
        weights = sum(widths) * (self.size(job, "train").classes or 1)
        return _TRAINED_BYTES * weights + _WEIGHT_BYTES * job.config["train"]["batch"] * sum(widths)

    def _disk(self, job: Job, network: Network, seeds: int) -> float | None:
        """What `seeds` seeds leave behind but for the few kilobytes of their records."""
        if job.kind != FEATURES:
            return seeds * _disk_bytes(job, network)
        samples = self.size(job, "set").samples
        return None if samples is None else seeds * samples * _WEIGHT_BYTES * sum(network.block_widths)


def _reads_features(job: Job) -> bool:
    return job.config.get("task") in FROZEN


def _is_frozen(job: Job) -> bool:
    return job.kind == FEATURES or _reads_features(job)


def _disk_bytes(job: Job, network: Network) -> float:
    """What one seed leaves behind but for the few kilobytes of its records."""
    if job.kind == FIRST_STAGE:
        return _CHECKPOINT_BYTES * network.parameters
    if job.kind == TOKENIZER:
        return _WEIGHT_BYTES * network.parameters
    leaves_encoder = job.kind == PRETRAIN or job.config.get("task") == "finetune"
    return _WEIGHT_BYTES * network.encoder.parameters if leaves_encoder else 0
