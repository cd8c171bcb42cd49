"""What this machine holds and how fast it is: images at once by the memory that is free, seconds by a short try."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from simmim.config.evaluate_models import EvaluateConfig
from simmim.config.models import PretrainConfig
from simmim.data.pretraining import hidden_tokens
from simmim.methods._method import Method
from simmim.own.result import say
from simmim.planning.cost import CHECKPOINT_BYTES, CHECKPOINTS
from simmim.planning.gpus import GPU, Machine
from simmim.planning.memory import fitting_micro_batch, training_memory
from simmim.planning.network import Network
from simmim.pretraining.masking import geometry_of
from simmim.pretraining.method import build_method
from simmim.train.device import chosen_device
from simmim.train.processes import autocast_dtype
from simmim.train.progress import duration
from simmim.train.reading import spare_cores

_USED_SHARE = 0.8  # of the memory that is free
_TRIED_SECONDS = 5.0
_TRIED_IMAGES = 16
_PACKED_BYTES_A_PIXEL = 0.6  # of a photograph as JPEG at quality 95, three to two


@dataclass(frozen=True)
class Fit:
    """How a pre-training fits this machine.

    Args:
        at_once: images of a micro-batch.
        workers: processes that decode beside the training; without a card they would only slow it down.
        needed_bytes, free_bytes: memory, by counting and as it is.
    """

    device: str
    at_once: int
    workers: int
    parameters: int
    needed_bytes: float
    free_bytes: float

    def __str__(self) -> str:
        used, free = self.needed_bytes / 1e9, self.free_bytes / 1e9
        return f"{self.device}, {self.at_once} images at once: about {used:.1f} of {free:.1f} GB"


def fit_of(config: PretrainConfig | EvaluateConfig, network_in: Callable[[str], Network]) -> Fit:
    """Build the networks of a config without weights, and see how many images they can take here.

    Args:
        network_in: number format to the network, counted in it.

    Raises:
        ValueError: for networks that do not go together, and where not even one image fits.
    """
    device, free = chosen_device(), free_bytes()
    precision = "fp32" if autocast_dtype(config.train.precision, device) is None else "bf16"
    network = network_in(precision)
    here = Machine("here", GPU(1, _USED_SHARE * free / 1e9, "here"), 1, 1)
    at_once = fitting_micro_batch(config.train, network, precision, here)
    if not at_once:
        raise ValueError(
            f"one image at once needs {_needed(config, network, precision, 1) / 1e9:.1f} GB, "
            f"{free / 1e9:.1f} GB are free; take a smaller --model or --image-px"
        )
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "the CPU"
    workers = spare_cores() if device.type == "cuda" else 0
    return Fit(name, at_once, workers, network.parameters, _needed(config, network, precision, at_once), free)


def _needed(config: PretrainConfig | EvaluateConfig, network: Network, precision: str, at_once: int) -> float:
    return training_memory(config.train.model_copy(update={"micro_batch": at_once}), network, precision, 1)


def free_bytes() -> int:
    """Memory that is free on the card, or without one on the machine, within the limit of its container."""
    device = chosen_device()
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    free = [os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    if (file := Path("/proc/meminfo")).is_file():
        lines = dict(line.split(":", 1) for line in file.read_text().splitlines())
        free = [1024 * int(lines["MemAvailable"].split()[0])]
    group = Path("/sys/fs/cgroup")
    if (group / "memory.max").is_file() and (limit := (group / "memory.max").read_text().strip()).isdigit():
        free.append(int(limit) - int((group / "memory.current").read_text()))
    return max(0, min(free))


def seconds_per_image(config: PretrainConfig) -> float:
    """Time of an update over the images of its batch, tried for a few seconds on images of noise."""
    device = chosen_device()
    method = build_method(config).to(device).train()
    dtype = autocast_dtype(config.train.precision, device)
    batch = _noise(method, config, min(config.train.images_at_once(), _TRIED_IMAGES), device)
    _update(method, batch, dtype)  # the first one is slower
    began, images = time.perf_counter(), 0
    while time.perf_counter() - began < _TRIED_SECONDS:
        _update(method, batch, dtype)
        images += len(batch["images"])
    return (time.perf_counter() - began) / images


def _noise(method: Method, config: PretrainConfig, images: int, device: torch.device) -> dict[str, Tensor]:
    if config.mask is None:
        raise ValueError(f"method={config.method.name} hides nothing: --dry-run can only try methods that do")
    pixels = torch.randint(0, 256, (images, config.channels, *config.geometry.image_px), dtype=torch.uint8)
    hidden = hidden_tokens(method.mask, geometry_of(config), 0, 0, np.arange(images))
    return {"images": pixels.to(device), "hidden": hidden.to(device)}


def _update(method: Method, batch: Mapping[str, Tensor], dtype: torch.dtype | None) -> None:
    """Forward and backward; what the optimiser takes is little beside them. Waits for the device."""
    device = batch["images"].device
    with torch.autocast(device.type, dtype, enabled=dtype is not None):
        loss = method(batch)
    loss.backward()
    loss.item()


def explain_cost(config: PretrainConfig, fit: Fit, train_images: int, images: int) -> None:
    """Print what a pre-training would take: parameters, memory, disk, and time by a short try."""
    seen = config.train.steps(train_images) * config.train.batch
    seconds = seconds_per_image(config)
    side = config.data["train"].pack.short_side_px or max(config.geometry.image_px)
    disk = images * _PACKED_BYTES_A_PIXEL * side**2 + CHECKPOINTS * CHECKPOINT_BYTES * fit.parameters
    say("network", f"{fit.parameters / 1e6:.1f} million parameters")
    say("disk", f"about {disk / 1e9:.2f} GB, most of it until the training is done")
    say("time", f"about {duration(seen * seconds)} for {seen:.0f} images at {1 / seconds:.0f} images/s, as tried here")
    print("nothing was written: this is a dry run", flush=True)
