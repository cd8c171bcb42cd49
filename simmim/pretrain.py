"""Pre-training (section 3): fit SimMIM on unlabelled images, keep the encoder, the log and some reconstructions."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from simmim import model_file, plugin, records
from simmim.data.pretraining import PretrainingImages
from simmim.data.shards import Shards
from simmim.model import SimMIM, build_simmim, save_encoder, start_from
from simmim.normaliser import ImageNormaliser
from simmim.reconstruction import held_out_losses, write_reconstructions
from simmim.sections import ImagesSection
from simmim.tokenizer import build_tokenizer, load_tokenizer
from simmim.train.loop import fit
from simmim.train.parameter_groups import parameter_groups
from simmim.train.processes import Processes, autocast_dtype, environment, seed_libraries
from simmim.train.settings import TrainSettings

SHOWN_IMAGES = 8


class Pretraining(nn.Module):
    """What one step of pre-training does: normalise, hide, predict, compare.

    Args:
        normalise: the normaliser that the model's target knows too.
    """

    def __init__(self, model: SimMIM, normalise: ImageNormaliser) -> None:
        super().__init__()
        self.model, self.normalise = model, normalise

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Mean loss of a batch of `images` uint8 [b, c, H, W] and `hidden` bool [b, tokens]."""
        return self.model(self.normalise(batch["images"]), batch["hidden"])


@dataclass(frozen=True)
class Start:
    """What a training begins with; with neither, fresh weights.

    Args:
        first_stage: checkpoint of a first stage, its own or a shorter run's.
        encoder: file of an encoder whose weights are taken over.
    """

    first_stage: Path | None = None
    encoder: Path | None = None


FRESH = Start()


def pretrain(
    config: Mapping[str, Any],
    seed: int,
    data: Mapping[str, Path],
    out: Path,
    processes: Processes,
    start: Start = FRESH,
    tokenizer: Path | None = None,
) -> None:
    """Run one pre-training and write `encoder.safetensors`, `train.parquet` and `reconstruction.parquet` to `out`.

    Args:
        config: as `Sheets.pretraining` completes it.
        data: packed data sets by split, 'train' and 'val'.
        tokenizer: file of the tokenizer that the target names, if it names one.

    Raises:
        ValueError: for a config or data that do not fit each other.
    """
    settings, train_set = TrainSettings(**config["train"]), Shards(data["train"])
    began = time.monotonic()
    task, history = _fit(config, seed, train_set, out / "state", processes, start, tokenizer)
    seconds = time.monotonic() - began
    if not processes.leads:
        return
    names = {key: config[key] for key in ("scale", "run", "config_hash")}
    origin = records.Origin(
        **names, task="pretrain", seed=seed, data_digest=train_set.digest, code_version=records.code_version()
    )
    step, mask = settings.steps(len(train_set)), plugin.build("masks", config["mask"])
    held_out, dtype = Shards(data["val"]), autocast_dtype(settings.precision, processes.device)
    values = held_out_losses(task, held_out, mask, dtype)
    values["images_per_second"] = step * settings.batch / seconds
    rows = [records.record(origin, row["step"], name, row[name]) for row in history for name in row.keys() - {"step"}]
    rows += [records.record(origin, step, metric, value) for metric, value in values.items()]
    machine = environment(processes, dtype)
    write_reconstructions(out / "reconstruction.parquet", task, held_out, mask, origin, step, SHOWN_IMAGES)
    records.write(out / "train.parquet", rows, config=config, held_out_digest=held_out.digest, environment=machine)
    save_encoder(out / "encoder.safetensors", task.model.encoder, _header(config, origin, step))
    shutil.rmtree(out / "state", ignore_errors=True)


def pretrain_first_stage(
    config: Mapping[str, Any],
    seed: int,
    data: Mapping[str, Path],
    out: Path,
    processes: Processes,
    start: Start = FRESH,
    tokenizer: Path | None = None,
) -> None:
    """Pre-train up to the first milestone and write the checkpoint there to `out`; arguments as `pretrain`."""
    state = out.with_name(f"{out.name}_state")
    _fit(config, seed, Shards(data["train"]), state, processes, start, tokenizer, stop=out)
    if processes.leads:
        shutil.rmtree(state, ignore_errors=True)


def _fit(
    config: Mapping[str, Any], seed: int, train_set: Shards, state: Path, processes: Processes, start: Start,
    tokenizer: Path | None, stop: Path | None = None,
) -> tuple[Pretraining, list[dict[str, float]]]:  # fmt: skip
    """The trained task and its log."""
    images, settings = ImagesSection(**config["images"]), TrainSettings(**config["train"])
    seed_libraries(seed, 0, 0)  # the same initial weights on every rank
    task = build_task(config, load_tokenizer(tokenizer, config["tokenizer"]) if tokenizer else None)
    made_with = {"tokenizer_sha256": model_file.digest(tokenizer)} if tokenizer else {}
    if start.encoder:
        start_from(task.model.encoder, start.encoder)
    mask = plugin.build("masks", config["mask"])
    dataset = PretrainingImages(train_set, images, mask, task.model.geometry, seed, len(images.mean))
    skip = task.model.encoder.no_weight_decay(pretraining=True)
    groups = parameter_groups(task, "model.encoder.", settings.weight_decay, settings.layer_decay, skip)
    history = fit(
        task, dataset, groups, settings, seed=seed, state=state, config=config | made_with, processes=processes,
        label=f"{config['scale']}/{config['run']} seed {seed}", start=start.first_stage, stop=stop,
    )  # fmt: skip
    return task, history


def build_task(config: Mapping[str, Any], tokenizer: nn.Module | None = None) -> Pretraining:
    """The model and its normalisation as a completed config describes them, freshly initialised.

    Args:
        tokenizer: the one that the target names; by default one that has learnt nothing yet.
    """
    normaliser = ImageNormaliser(config["images"]["mean"], config["images"]["std"])
    target = dict(config["target"])
    if "tokenizer" in config:
        target["tokenizer"] = tokenizer or build_tokenizer(config["tokenizer"])
    model = build_simmim(
        **{key: config[key] for key in ("encoder", "head", "loss")},
        target=target,
        image_px=side_pair(config["geometry"]["image_px"]),
        masked_patch_px=config["geometry"]["masked_patch_px"],
        normaliser=normaliser,
    )
    return Pretraining(model, normaliser)


def _header(config: Mapping[str, Any], origin: records.Origin, step: int) -> dict[str, Any]:
    """What an encoder file says about itself: how to rebuild it, and where it comes from."""
    images = config["images"]
    rebuild = {"encoder": config["encoder"], "image_px": side_pair(config["geometry"]["image_px"])}
    rebuild |= {"in_channels": len(images["mean"]), "mean": images["mean"], "std": images["std"]}
    return rebuild | asdict(origin) | {"step": step}


def side_pair(image_px: int | list[int] | tuple[int, int]) -> tuple[int, int]:
    """A side or [height, width] -> (height, width)."""
    return (image_px, image_px) if isinstance(image_px, int) else tuple(image_px)
