"""Pre-training (section 3): fit SimMIM on unlabelled images, keep encoder, head and log."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.utils.data import Dataset

from simmim import plugin
from simmim.config.sections import ImagesSection
from simmim.config.training import TrainSettings
from simmim.data.pretraining import PretrainingImages
from simmim.data.shards import Shards
from simmim.data.views import ViewImages
from simmim.layers.normaliser import ImageNormaliser
from simmim.methods.simmim import SimMIM, build_simmim
from simmim.pretrain.tokenizer import build_tokenizer, load_tokenizer
from simmim.pretrain.validation import held_out_losses
from simmim.storage import model_file, records
from simmim.storage.encoder_file import save_encoder, start_from
from simmim.train.loop import Run, fit
from simmim.train.parameter_groups import parameter_groups
from simmim.train.processes import Processes, autocast_dtype, environment, seed_libraries
from simmim.train.task import TrainTask


class Pretraining(TrainTask):
    """What one step of pre-training does: normalise, hide, predict, compare.

    A rival (`simmim.methods`) stands in its place with `forward`, `normalise` and the two names below, and says with
    `views` what it wants to see.

    Args:
        normalise: the normaliser that the model's target knows too.
    """

    # Where the encoder is that the optimiser moves, and what is handed on.
    trained_encoder = kept_encoder = "model.encoder"
    kept_head = "model.head"

    def __init__(self, model: SimMIM, normalise: ImageNormaliser) -> None:
        super().__init__()
        self.model, self.normalise = model, normalise

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Mean loss of a batch of `images` uint8 [b, c, H, W] and `hidden` bool [b, tokens]."""
        return self.model(self.normalise(batch["images"]), batch["hidden"])


@dataclass(frozen=True)
class Start:
    """The files that a training begins with; without the first two it begins with fresh weights.

    Args:
        first_stage: checkpoint of a first stage, its own or a shorter run's.
        encoder: file of an encoder whose weights are taken over.
        tokenizer: file of the tokenizer that the target names, if it names one.
    """

    first_stage: Path | None = None
    encoder: Path | None = None
    tokenizer: Path | None = None


FRESH = Start()


def pretrain(
    config: Mapping[str, Any],
    seed: int,
    data: Mapping[str, Path],
    out: Path,
    processes: Processes,
    start: Start = FRESH,
) -> None:
    """Run one pre-training and write `encoder.safetensors`, `head.safetensors` and `train.parquet` to `out`.

    Args:
        config: as `Sheets.pretraining` completes it.
        data: packed data sets by split, 'train' and 'val'.

    Raises:
        ValueError: for a config or data that do not fit each other.
    """
    settings, train_set = TrainSettings(**config["train"]), Shards(data["train"])
    task, history = _fit(config, seed, train_set, out / "state", processes, start)
    if not processes.is_main_process:
        return
    names = {key: config[key] for key in ("scale", "run", "config_hash")}
    origin = records.Origin(
        **names, task="pretrain", seed=seed, data_digest=train_set.digest, code_version=records.code_version()
    )
    step, held_out = settings.steps(len(train_set)), Shards(data["val"])
    dtype = autocast_dtype(settings.precision, processes.device)
    values = _cost(history, step * settings.batch, processes)
    if isinstance(task, Pretraining):
        values |= held_out_losses(task, held_out, plugin.build("masks", config["mask"]), dtype)
    rows = [records.record(origin, row["step"], name, row[name]) for row in history for name in row.keys() - {"step"}]
    rows += [records.record(origin, step, metric, value) for metric, value in values.items()]
    machine = environment(processes, dtype)
    records.write(out / "train.parquet", rows, config=config, held_out_digest=held_out.digest, environment=machine)
    header = _header(config, origin, step)
    head, encoder = task.get_submodule(task.kept_head), task.get_submodule(task.kept_encoder)
    model_file.write(out / "head.safetensors", head, header | {"head": config["head"]})
    save_encoder(out / "encoder.safetensors", encoder, header)
    shutil.rmtree(out / "state", ignore_errors=True)


def pretrain_first_stage(
    config: Mapping[str, Any],
    seed: int,
    data: Mapping[str, Path],
    out: Path,
    processes: Processes,
    start: Start = FRESH,
) -> None:
    """Pre-train up to the first milestone and write the checkpoint there to `out`; arguments as `pretrain`."""
    state = out.with_name(f"{out.name}_state")
    _fit(config, seed, Shards(data["train"]), state, processes, start, stop=out)
    if processes.is_main_process:
        shutil.rmtree(state, ignore_errors=True)


def _fit(
    config: Mapping[str, Any], seed: int, train_set: Shards, state: Path, processes: Processes, start: Start,
    stop: Path | None = None,
) -> tuple[nn.Module, list[dict[str, float]]]:  # fmt: skip
    """The trained task and its log."""
    settings = TrainSettings(**config["train"])
    seed_libraries(seed, 0, 0)  # the same initial weights on every rank
    task = _task(config, start.tokenizer)
    made_with = {"tokenizer_sha256": model_file.digest(start.tokenizer)} if start.tokenizer else {}
    if start.encoder:
        start_from(task.get_submodule(task.trained_encoder), start.encoder)
    skip = task.get_submodule(task.trained_encoder).no_weight_decay(pretraining=True)
    groups = parameter_groups(task, f"{task.trained_encoder}.", settings.weight_decay, settings.layer_decay, skip)
    dataset = _dataset(config, train_set, task, seed)
    label = f"{config['scale']}/{config['run']} seed {seed}"
    run = Run(seed, state, config | made_with, label, initial_checkpoint=start.first_stage, first_stage=stop)
    return task, fit(task, dataset, groups, settings, run, processes)


def _dataset(config: Mapping[str, Any], train_set: Shards, task: nn.Module, seed: int) -> Dataset:
    """Masked images for SimMIM, the views that a rival asks for."""
    images = ImagesSection(**config["images"])
    if isinstance(task, Pretraining):
        mask = plugin.build("masks", config["mask"])
        return PretrainingImages(train_set, images, mask, task.model.geometry, seed, len(images.mean))
    return ViewImages(train_set, task.views, images, seed, len(images.mean))


def _cost(history: list[dict[str, float]], images: int, processes: Processes) -> dict[str, float]:
    """Device-seconds of the steps that the run is made of (Table 6 compares them), and images per second of them."""
    seconds = sum(row["device_seconds"] for row in history)
    return {"train_seconds": seconds, "images_per_second": images * processes.world / seconds if seconds else 0.0}


def build_task(config: Mapping[str, Any], tokenizer: nn.Module | None = None) -> nn.Module:
    """What a completed config describes, freshly initialised: a `Pretraining` or one of `simmim.methods`.

    Args:
        tokenizer: the one that the target names; by default one that has learnt nothing yet.

    Raises:
        ValueError: for components that are unknown or do not fit each other, and for a rival that needs the extra
            `rivals` where that is not installed.
    """
    plugin.check_choice("method", config["method"]["name"], plugin.names("methods"))
    if config["method"]["name"] != "simmim":
        return _rival(config)
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


def load_run(config: Mapping[str, Any], run: Path, tokenizer: Path | None) -> tuple[Pretraining, records.Origin, int]:
    """The trained model of a finished run, where it comes from, and its number of steps.

    Args:
        run: folder of the files of one seed.
        tokenizer: as in `Start`.

    Raises:
        ValueError: for files that belong to another config.
    """
    task = _task(config, tokenizer)
    for kind, part in (("encoder", task.model.encoder), ("head", task.model.head)):
        header, state = model_file.read(run / f"{kind}.safetensors", kind)
        if header["config_hash"] != config["config_hash"]:
            raise ValueError(f"{run / kind}.safetensors was made with another config; pre-train {run.parent} again")
        model_file.load(run / f"{kind}.safetensors", kind, part, state)
    origin = records.Origin(**{field.name: header[field.name] for field in fields(records.Origin)})
    return task, origin, header["step"]


def _task(config: Mapping[str, Any], tokenizer: Path | None) -> nn.Module:
    """What a config describes, with the tokenizer in a file where its target names one."""
    return build_task(config, load_tokenizer(tokenizer, config["tokenizer"]) if tokenizer else None)


def _rival(config: Mapping[str, Any]) -> nn.Module:
    name, images = config["method"]["name"], config["images"]
    if config["start"]["encoder"] or config["train"].get("sharded"):
        raise ValueError(f"method={name} has a teacher: start.encoder and train.sharded are for method=simmim")
    return plugin.build(
        "methods", config["method"], encoder=config["encoder"], image_px=side_pair(config["geometry"]["image_px"]),
        mean=images["mean"], std=images["std"],
    )  # fmt: skip


def _header(config: Mapping[str, Any], origin: records.Origin, step: int) -> dict[str, Any]:
    """What an encoder file says about itself: how to rebuild it, and where it comes from."""
    images = config["images"]
    rebuild = {"encoder": config["encoder"], "image_px": side_pair(config["geometry"]["image_px"])}
    rebuild |= {"in_channels": len(images["mean"]), "mean": images["mean"], "std": images["std"]}
    return rebuild | asdict(origin) | {"step": step}


def side_pair(image_px: int | list[int] | tuple[int, int]) -> tuple[int, int]:
    """A side or [height, width] -> (height, width)."""
    return (image_px, image_px) if isinstance(image_px, int) else tuple(image_px)
