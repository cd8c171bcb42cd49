"""Pre-training (section 3): fit SimMIM on unlabelled images, keep the encoder, the log and some reconstructions."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from simmim import plugin, records
from simmim.data.pretraining import PretrainingImages
from simmim.data.shards import Shards
from simmim.model import SimMIM, build_simmim, save_encoder
from simmim.reconstruction import held_out_losses, write_reconstructions
from simmim.sections import ImagesSection
from simmim.train.loop import fit
from simmim.train.parameter_groups import parameter_groups
from simmim.train.processes import Processes, autocast_dtype, environment, seed_libraries
from simmim.train.settings import TrainSettings

SHOWN_IMAGES = 8


class Pretraining(nn.Module):
    """What one step of pre-training does: normalise, hide, predict, compare.

    Args:
        mean, std: per channel, of images in [0, 1].
    """

    def __init__(self, model: SimMIM, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("mean", 255 * torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("std", 255 * torch.tensor(std)[:, None, None], persistent=False)

    def normalise(self, images: Tensor) -> Tensor:
        """uint8 [b, c, H, W] -> float [b, c, H, W] with about zero mean and unit variance."""
        return (images.float() - self.mean) / self.std

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Mean loss of a batch of `images` uint8 [b, c, H, W] and `hidden` bool [b, tokens]."""
        return self.model(self.normalise(batch["images"]), batch["hidden"])


def pretrain(config: Mapping[str, Any], seed: int, data: Mapping[str, Path], out: Path, processes: Processes) -> None:
    """Run one pre-training and write `encoder.safetensors`, `train.parquet` and `reconstruction.parquet` to `out`.

    Args:
        config: as `Sheets.pretraining` completes it.
        data: packed data sets by split, 'train' and 'val'.

    Raises:
        ValueError: for a config or data that do not fit each other.
    """
    train_set, held_out = Shards(data["train"]), Shards(data["val"])
    images, settings = ImagesSection(**config["images"]), TrainSettings(**config["train"])
    image_px = side_pair(config["geometry"]["image_px"])
    seed_libraries(seed, 0, 0)  # the same initial weights on every rank
    model = build_simmim(
        **{key: config[key] for key in ("encoder", "head", "target", "loss")},
        image_px=image_px,
        masked_patch_px=config["geometry"]["masked_patch_px"],
        in_channels=len(images.mean),
    )
    mask = plugin.build("masks", config["mask"])
    task = Pretraining(model, images.mean, images.std)
    dataset = PretrainingImages(train_set, images, mask, model.geometry, seed, len(images.mean))
    skip = model.encoder.no_weight_decay(pretraining=True)
    groups = parameter_groups(task, "model.encoder.", settings.weight_decay, 1.0, skip)
    origin = records.Origin(
        config["scale"],
        config["run"],
        "pretrain",
        seed,
        config["config_hash"],
        train_set.digest,
        records.code_version(),
    )
    label = f"{config['scale']}/{config['run']} seed {seed}"
    began = time.monotonic()
    state = out / "state"
    history = fit(
        task, dataset, groups, settings, seed=seed, state=state, config=config, processes=processes, label=label
    )
    if not processes.leads:
        return
    seconds = time.monotonic() - began
    steps = settings.steps(len(dataset))
    measured = held_out_losses(task, held_out, mask, autocast_dtype(settings.precision, processes.device))
    rows = [
        records.record(origin, entry["step"], key, entry[key]) for entry in history for key in entry if key != "step"
    ]
    rows += [records.record(origin, steps, key, value) for key, value in measured.items()]
    rows.append(records.record(origin, steps, "images_per_second", steps * settings.batch / seconds))
    write_reconstructions(out / "reconstruction.parquet", task, held_out, mask, origin, steps, SHOWN_IMAGES)
    records.write(
        out / "train.parquet", rows, config=config, held_out_digest=held_out.digest,
        environment=environment(processes, autocast_dtype(settings.precision, processes.device)),
    )  # fmt: skip
    header = {key: config[key] for key in ("encoder", "scale", "run", "config_hash")}
    header |= {"image_px": image_px, "in_channels": len(images.mean), "mean": images.mean, "std": images.std}
    header |= {"seed": seed, "step": steps, "data_digest": train_set.digest, "code_version": origin.code_version}
    save_encoder(out / "encoder.safetensors", model.encoder, header)
    shutil.rmtree(state, ignore_errors=True)


def side_pair(image_px: int | list[int] | tuple[int, int]) -> tuple[int, int]:
    """A side or [height, width] -> (height, width)."""
    return (image_px, image_px) if isinstance(image_px, int) else tuple(image_px)
