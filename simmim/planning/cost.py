"""What every job costs: images, FLOPs, GPU hours, memory, disk. Only the parameters and FLOPs of a network are exact.

    FLOPs      images x (3 x forward pass, 4 x with activation checkpointing, or where a loss is over a batch that comes
               in micro-batches) + scored images x forward pass
    GPU hours  FLOPs / (peak rate of the GPU x utilisation)
    memory     `simmim.planning.memory`

Frozen features and a mechanism are one forward pass an image; features lie on disk until they are read. Votes of k-NN
are not counted. A detector counts with all the regions it may draw, a scored image with the size of a training image.
"""

from __future__ import annotations

from dataclasses import dataclass

from simmim import plugin
from simmim.config.evaluate_models import EvaluateConfig, FeaturesConfig
from simmim.config.models import PretrainConfig, TokenizerConfig
from simmim.evaluate.classification_settings import ClassificationSettings
from simmim.evaluate.feature_rows import CHUNK, VALUE_BYTES
from simmim.evaluate.knn.vote import QUERIES
from simmim.jobs import Jobs
from simmim.planning.counting import WEIGHT_BYTES
from simmim.planning.data import DataSize, data_size
from simmim.planning.gpus import Machine
from simmim.planning.jobs import FEATURES, FIRST_STAGE, PRETRAIN, JobGroup
from simmim.planning.memory import TRAINED_BYTES, fitting_micro_batch, training_memory
from simmim.planning.network import Network
from simmim.planning.pretraining_network import pretraining_network, tokenizer_network
from simmim.planning.transfer_network import transfer_network

CHECKPOINT_BYTES = 3 * WEIGHT_BYTES  # weight, two moments
CHECKPOINTS = 3  # the two newest are kept while a third is written


@dataclass(frozen=True)
class Cost:
    """Cost of a group of jobs, for the seeds that are to do (for all of a finished group); None until data are known.

    Args:
        images: that training, or the extraction of features, sees; a probe sees the features of as many.
        flops: of everything on the GPUs.
        memory_bytes: on each GPU.
        fitting_micro_batch: the most images at once that fit the GPU, at most those of the config, 0 where not even one
            does; None where no batch goes through a network for its gradient.
        disk_bytes: what stays, or with features, what stays while evaluations read them.
        checkpoint_bytes: what lies beside it while the job runs.
    """

    parameters: int
    images: int | None
    flops: float | None
    memory_bytes: float
    fitting_micro_batch: int | None
    disk_bytes: float | None
    checkpoint_bytes: float


class Costs:
    """Costs of the jobs of one scale on one machine."""

    def __init__(self, jobs: Jobs, scale: str, machine: Machine) -> None:
        self.machine = machine
        self._jobs, self._scale = jobs, scale
        self._sizes: dict[tuple[str, str], DataSize] = {}

    def of(self, group: JobGroup) -> Cost:
        """Cost of a group of jobs."""
        network = self._network(group)
        images, flops = self._work(group, network)
        seeds = group.seeds_to_do or group.seeds
        return Cost(
            parameters=network.parameters,
            images=None if images is None else seeds * images,
            flops=None if flops is None else float(seeds * flops),
            memory_bytes=self._memory(group, network),
            fitting_micro_batch=self._fitting(group, network),
            disk_bytes=self._disk(group, network, seeds),
            checkpoint_bytes=0 if _is_frozen(group) else CHECKPOINTS * CHECKPOINT_BYTES * network.parameters,
        )

    def gpu_hours(self, flops: float | None) -> float | None:
        """Hours of one GPU for so many FLOPs."""
        rate = 1e12 * self.machine.gpu.peak_tflops * self.machine.utilisation
        return None if flops is None else flops / rate / 3600

    def size(self, dataset: str, split: str) -> DataSize:
        """Size of a split of a data set."""
        if (dataset, split) not in self._sizes:
            self._sizes[dataset, split] = data_size(self._jobs, self._scale, dataset, split)
        return self._sizes[dataset, split]

    def _size(self, group: JobGroup, split: str) -> DataSize:
        return self.size(group.config.data[split].dataset, group.config.data[split].split)

    def _classes(self, group: JobGroup) -> int:
        """Classes of the training set; 1 if unknown."""
        return self._size(group, "train").classes or 1

    def _network(self, group: JobGroup) -> Network:
        config, sheets, precision = group.config, self._jobs.sheets, self._precision(group)
        if isinstance(config, TokenizerConfig):
            return tokenizer_network(config, precision)
        if isinstance(config, PretrainConfig):
            return pretraining_network(config, precision)
        pretraining = sheets.pretraining(self._scale, group.run)
        if isinstance(config, FeaturesConfig):
            evaluation = sheets.evaluation(self._scale, group.run, config.evaluation)
            return transfer_network(evaluation, pretraining, 1, precision)
        return transfer_network(config, pretraining, self._classes(group), precision)

    def _precision(self, group: JobGroup) -> str:
        """The number format of a group's network on this machine."""
        stated = group.config if isinstance(group.config, FeaturesConfig) else group.config.train
        asked = stated.precision if stated else ""
        return "bf16" if self.machine.gpu.has_bf16 and asked in ("auto", "bf16") else "fp32"

    def _work(self, group: JobGroup, network: Network) -> tuple[int | None, float | None]:
        """Images and FLOPs of one seed, None if the number of images is not known.

        Both are 0 for a tokenizer with published weights and for one that is fitted on the CPU.
        """
        if _passes_forward(group):
            samples = self._samples(group)
            return samples, None if samples is None else samples * network.forward_flops
        if _reads_features(group):
            return self._frozen_work(group, network)
        if not group.config.train:
            return 0, 0.0
        samples = self._training_samples(group)
        scored = [self._size(group, split).samples for split in _scored_splits(group)]
        if None in (samples, *scored):
            return None, None
        images = self._steps(group, samples) * group.config.train.batch
        again = network.forward_flops if self._computes_again(group) else 0
        return images, images * (network.train_flops + again) + sum(scored) * network.score_flops

    def _computes_again(self, group: JobGroup) -> bool:
        """Whether the method's loss is over a whole batch, of which a GPU's share is more than one micro-batch."""
        if group.kind not in (PRETRAIN, FIRST_STAGE):
            return False
        train, gpus = group.config.train, self.machine.gpus
        whole_batch = plugin.component("methods", group.config.method.name).whole_batch
        return whole_batch and train.images_at_once(gpus) < train.batch // gpus

    def _samples(self, group: JobGroup) -> int | None:
        """Images that pass forward: of the sets whose features are extracted, or those that a mechanism draws."""
        if isinstance(group.config, FeaturesConfig):
            samples = [self._size(group, split).samples for split in group.config.data]
            return None if None in samples else sum(samples)
        samples = self._size(group, "val").samples
        return None if samples is None else min(samples, group.config.settings.images)

    def _training_samples(self, group: JobGroup) -> int | None:
        """Images of the training set that the job uses."""
        train, settings = self._size(group, "train"), getattr(group.config, "settings", None)
        if not isinstance(settings, ClassificationSettings) or settings.labels_per_class is None:
            return train.samples
        return settings.labels_per_class * train.classes if train.classes else None

    def _steps(self, group: JobGroup, samples: int) -> int:
        """Updates; of a first stage without those of a shorter run, of a run those that follow its first stage."""
        config = group.config
        steps = config.train.steps(samples)
        if not isinstance(config, PretrainConfig):
            return steps
        stage = config.train.first_stage_steps(samples) if config.has_first_stage else 0
        if group.kind == PRETRAIN:
            return steps - stage
        if not config.init.run:
            return stage
        shorter = self._jobs.sheets.pretraining(self._scale, config.init.run)
        return stage - shorter.train.first_stage_steps(samples)

    def _frozen_work(self, group: JobGroup, network: Network) -> tuple[int | None, float | None]:
        """Images whose features a probe sees in training, and its FLOPs; k-NN trains nothing."""
        train, samples = group.config.train, self._size(group, "train").samples
        if not train:
            return 0, 0.0
        if samples is None:
            return None, None
        seen = train.steps(round((1 - group.config.settings.held_out) * samples)) * train.batch
        return seen, 3 * seen * 2 * sum(network.block_widths) * self._classes(group)

    def _memory(self, group: JobGroup, network: Network) -> float:
        """Bytes on each GPU."""
        if _passes_forward(group):
            settings = group.config if isinstance(group.config, FeaturesConfig) else group.config.settings
            kept = network.kept_bytes / len(network.block_widths)  # one block at a time
            return WEIGHT_BYTES * network.parameters + settings.score_batch * kept
        if _reads_features(group):
            return self._frozen_memory(group, network)
        train = group.config.train
        if not train or not train.epochs:
            return WEIGHT_BYTES * network.parameters
        return training_memory(train, network, self._precision(group), self.machine.gpus)

    def _fitting(self, group: JobGroup, network: Network) -> int | None:
        train = None if _is_frozen(group) else group.config.train
        if not train or not train.epochs:
            return None
        return fitting_micro_batch(train, network, self._precision(group), self.machine)

    def _frozen_memory(self, group: JobGroup, network: Network) -> float:
        """Bytes on each GPU of what reads features: the probe's weights and a batch, or a part of the bank of k-NN."""
        widths, train = network.block_widths, group.config.train
        if not train:
            return WEIGHT_BYTES * CHUNK * (2 * max(widths) + QUERIES)
        weights = sum(widths) * self._classes(group)
        return TRAINED_BYTES * weights + WEIGHT_BYTES * train.batch * sum(widths)

    def _disk(self, group: JobGroup, network: Network, seeds: int) -> float | None:
        """What `seeds` seeds leave behind but for the few kilobytes of their records."""
        if group.kind != FEATURES:
            return seeds * _disk_bytes(group, network)
        samples = self._samples(group)
        return None if samples is None else seeds * samples * VALUE_BYTES * sum(network.block_widths)


def _reads_features(group: JobGroup) -> bool:
    return isinstance(group.config, EvaluateConfig) and group.config.settings.reads_features


def _passes_forward(group: JobGroup) -> bool:
    """Whether images pass through the encoder, and nothing is trained on what comes out."""
    config = group.config
    is_untrained = isinstance(config, EvaluateConfig) and not (config.settings.trains or config.settings.reads_features)
    return isinstance(config, FeaturesConfig) or is_untrained


def _is_frozen(group: JobGroup) -> bool:
    return _passes_forward(group) or _reads_features(group)


def _scored_splits(group: JobGroup) -> set[str]:
    """Data sets that the trained network is scored on; those that train in stages are scored after the last one."""
    is_scored = group.kind != FIRST_STAGE and not isinstance(group.config, TokenizerConfig)
    return set(group.config.data) - {"train"} if is_scored else set()


def _disk_bytes(group: JobGroup, network: Network) -> float:
    """What one seed leaves behind but for the few kilobytes of its records."""
    config = group.config
    if group.kind == FIRST_STAGE:
        return CHECKPOINT_BYTES * network.parameters
    if isinstance(config, TokenizerConfig):
        return WEIGHT_BYTES * network.parameters
    leaves_encoder = isinstance(config, PretrainConfig) or config.settings.leaves_encoders
    return WEIGHT_BYTES * (network.encoder.parameters + network.head_parameters) if leaves_encoder else 0
