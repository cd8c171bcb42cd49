"""Memory of a training on each of its GPUs: what belongs to the weights, and what every image at once needs.

    weights    16 bytes a parameter (weight, gradient, two moments of AdamW in float32), shared out where sharded
               + three whole blocks where sharded
               + 2 bytes a parameter that autocast has a copy of: all, or one block's where blocks are computed again
               + 4 bytes a parameter that is not trained (tokenizer, teacher, frozen encoder)
               + what is made from weights in the forward pass (normalised ones) and needed in the backward pass
    an image   activations that the backward pass needs; where blocks are computed again, the inputs of the blocks so
               far and all of the largest one, with its gradients

Measured peaks are within a tenth of it (tests/planning/test_memory.py). What the CUDA context and fragmentation take,
about a gigabyte, is not in it; nor what fused attention saves.
"""

from __future__ import annotations

from simmim.config.training import TrainSettings, micro_batch_size
from simmim.planning.counting import WEIGHT_BYTES
from simmim.planning.gpus import GPUS_A_NODE, Machine
from simmim.planning.network import Network

_BFLOAT16_BYTES = 2
TRAINED_BYTES = 4 * WEIGHT_BYTES  # weight, gradient, two moments
_WHOLE_BLOCKS = 3  # of a sharded network: one that computes, the next one, the gradients of one


def training_memory(train: TrainSettings, network: Network, precision: str, gpus: int) -> float:
    """Bytes on each GPU.

    Args:
        network: as it was counted in `precision`.
    """
    return weights_memory(train, network, precision, gpus) + train.images_at_once(gpus) * network.kept_bytes


def weights_memory(train: TrainSettings, network: Network, precision: str, gpus: int) -> float:
    """Bytes on each GPU that do not depend on the number of images."""
    fixed = WEIGHT_BYTES * network.unlearnt.parameters + network.once_bytes
    fixed += _BFLOAT16_BYTES * network.cast_parameters if precision == "bf16" else 0
    if train.sharded and gpus > 1:
        whole = network.encoder.block_parameters or network.parameters
        part = TRAINED_BYTES * network.parameters / min(gpus, GPUS_A_NODE)  # nodes repeat each other
        return part + _WHOLE_BLOCKS * WEIGHT_BYTES * whole + fixed
    return TRAINED_BYTES * network.parameters + fixed


def fitting_micro_batch(train: TrainSettings, network: Network, precision: str, machine: Machine) -> int:
    """The most images at once that fit a GPU, at most those of the settings; 0 where not even one does."""
    left = 1e9 * machine.gpu.memory_gb - weights_memory(train, network, precision, machine.gpus)
    most = min(train.micro_batch, int(left // max(network.kept_bytes, 1)))
    return micro_batch_size(train.batch // machine.gpus, most)
