"""What the project of a transfer consists of: a run that begins with the encoder's file and trains nothing more."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simmim import plugin
from simmim.config.component_settings import settings_of
from simmim.config.sections import sides
from simmim.config.values import merged
from simmim.data.found import Found, classes_at
from simmim.data.found_dense import label_maps_at, objects_at
from simmim.own.choices import SMALL_SET, Asked, Choice, Usual, choose
from simmim.own.drafting import (
    FOUND_BROKEN,
    Split,
    about_images,
    packed_for,
    parted,
    refuse_out_in_data,
    with_packing,
)
from simmim.own.models import read_recipe
from simmim.own.project import IMAGES, Draft, run_name

_HELD_OUT = 0.2
_PLAIN = {"auto_augment": "", "erase": 0, "mixup": 0, "cutmix": 0, "crop_scale": [0.5, 1.0], "score_crop": 1.0}
# Rates of few images; the paper's are for batches of thousands, or ten thousands of updates.
_DENSE_TRAIN = {"base_lr": 1.0e-3, "base_lr_batch": 32, "clip_norm": 5.0}
_PROBE_TRAIN = {"base_lr": 1.0e-3, "base_lr_batch": 256, "batch": 256}


@dataclass(frozen=True)
class Kind:
    """A transfer as users know it.

    Args:
        task: a package of `simmim.evaluate`.
        role: what its images are for.
        found_at: how they are read at a path.
        recipe: that comes with the package.
        by_encoder: other recipes, by the name of the encoder's component.
        settings, train: what is different about few images.
        side: of the input, in sides of the encoder's.
        usual: length and batch.
    """

    task: str
    role: str
    found_at: Callable[[Path | str], Found]
    recipe: str
    by_encoder: Mapping[str, str]
    settings: Mapping[str, Any]
    train: Mapping[str, Any]
    side: int
    usual: Usual | None


_WHOLE = {"score_crop": 1.0}
_CLASSIFIERS = {"vit": "finetune_vit_b", "resnet": "finetune_resnet50x4"}
_DENSE = Usual(epochs=12, updates=300, small_batch=8, large_batch=16)
_DETECT = {"scale_jitter": [0.5, 1.5], "score_batch": 8}
_SEGMENT = {"score_scales": [1.0], "score_flip": False, "score_batch": 8}
KINDS = {
    "finetune": Kind(
        "finetune", "classify", classes_at, "finetune_swin_b", _CLASSIFIERS, _PLAIN, {}, 1, Usual(30, 300, 32, 256)
    ),
    "probe": Kind(
        "linear_probe", "classify", classes_at, "probe", {}, _WHOLE, _PROBE_TRAIN, 1, Usual(40, 500, 256, 4096)
    ),
    "knn": Kind("knn", "classify", classes_at, "knn", {}, _WHOLE, {}, 1, None),
    "detect": Kind("detect", "detect", objects_at, "detect_swin_b", {}, _DETECT, _DENSE_TRAIN, 2, _DENSE),
    "segment": Kind("segment", "segment", label_maps_at, "segment_swin_b", {}, _SEGMENT, _DENSE_TRAIN, 2, _DENSE),
}


@dataclass(frozen=True)
class Request:
    """What a user has asked for.

    Args:
        verb: one of `KINDS`.
        data: absolute path.
        encoder: file.
        set: what the row says, as `key=value`.
    """

    verb: str
    data: Path
    encoder: Path
    asked: Asked
    set: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """JSON values, as they are kept in the run folder."""
        from simmim.storage import model_file

        digest = model_file.digest(self.encoder)
        own = {"data": str(self.data), "encoder": str(self.encoder), "encoder_digest": digest, "set": list(self.set)}
        return own | self.asked.as_json()


@dataclass(frozen=True)
class Plan:
    """A draft with the reasons for it; `choice` is None where nothing is trained."""

    draft: Draft
    found: Found
    split: Split
    choice: Choice | None


def planned(request: Request, out: Path) -> Plan:
    """Look at the data and the encoder, and choose what was not asked for.

    Raises:
        ValueError: for data of another layout, and a file that is no encoder.
    """
    from simmim.storage import model_file

    refuse_out_in_data(out, request.data)
    kind, header = KINDS[request.verb], model_file.header(request.encoder)
    found = kind.found_at(request.data)
    if kind.role == "classify":
        _refuse_one_class(found)
    split = parted(found, _HELD_OUT)
    recipe = _recipe(kind, header, request.asked, split.train)
    choice = choose(recipe, split.train, request.asked.without_size(), kind.usual) if kind.usual else None
    recipe, run = choice.recipe if choice else recipe, run_name(out)
    is_dense = plugin.task_settings(kind.task).is_dense
    side = max(*sides(recipe["settings"]["image_px"]), *header["image_px"])
    packing = FOUND_BROKEN if is_dense else packed_for(side, found.bands)
    row = {"run": run, "evaluation": request.verb, "recipe": request.verb, "set": " ".join(request.set)}
    rows = {
        "pretrain": [{"run": run, "recipe": "encoder", "set": f'init.encoder="{request.encoder}"', "reference": "yes"}],
        "evaluate": [row | {"metrics": "top1" if not is_dense else ""}],
        "datasets": with_packing(split.rows, packing),
    }
    note = {"verb": request.verb, "run": run, "evaluation": request.verb, "request": request.as_json()}
    note |= about_images(found, split)
    recipes = {"encoder": _as_it_is(header), request.verb: recipe}
    return Plan(Draft(found.root, rows, recipes, {"pretrain": IMAGES, kind.role: IMAGES}, note), found, split, choice)


def _refuse_one_class(found: Found) -> None:
    """Where there is one class, every image is classified right."""
    if len(classes := found.source(found.train).classes()) < 2:
        is_tar = found.train[0] == "tar"
        cure = "unpack it, and give" if is_tar else "give"
        raise ValueError(
            f"--data {found.root} has one class, {', '.join(classes)}: a score needs two; {cure} the folder that holds "
            "a folder for each class"
        )


def _recipe(kind: Kind, header: Mapping[str, Any], asked: Asked, images: int) -> dict[str, Any]:
    """The recipe of a task for an encoder, at the size that it was trained at or that was asked for."""
    encoder = header["encoder"]
    recipe = read_recipe(kind.by_encoder.get(encoder["name"], kind.recipe)) | {"init": "pretrain", "role": kind.role}
    known = settings_of("encoders", encoder["name"])
    changes = {key: value for key, value in recipe.get("encoder", {}).items() if key in known}
    small = images < SMALL_SET
    changes |= {key: encoder[key] for key in ("window",) if key in changes and key in encoder}
    changes |= {"drop_path": 0.0} if small and "drop_path" in changes else {}
    settings = {"image_px": _image_px(kind, header, asked)} | (dict(kind.settings) if small else {})
    recipe = merged(recipe, {"settings": settings})
    if kind.train and small:
        recipe = merged(recipe, {"train": dict(kind.train)})
    return recipe | {"encoder": changes}


def _image_px(kind: Kind, header: Mapping[str, Any], asked: Asked) -> int | list[int]:
    """Side of the input, or its height and width: as asked for, or as the encoder's times `kind.side`.

    Raises:
        ValueError: for height and width where a task trains on squares.
    """
    height, width = asked.image_px or (kind.side * side for side in header["image_px"])
    if height == width:
        return height
    if not plugin.task_settings(kind.task).is_dense:
        return [height, width]
    if asked.image_px:
        raise ValueError(f"--image-px {height}x{width}: `simmim {kind.task}` trains on squares; give one number")
    return max(height, width)


def _as_it_is(header: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe of a run that begins with an encoder file and trains it no further."""
    import torch

    from simmim.plugin import Component

    section = Component.model_validate(header["encoder"])
    with torch.device("meta"):
        sizes = {"image_px": tuple(header["image_px"]), "in_channels": header["in_channels"]}
        token = plugin.build("encoders", section, **sizes).token
    images = {key: list(header[key]) for key in ("mean", "std") if key in header}
    return {
        "stage": "pretrain",
        "encoder": dict(header["encoder"]),
        "geometry": {"image_px": list(header["image_px"]), "masked_patch_px": token},
        "mask": {"name": "random", "ratio": 0.6},
        "head": {"name": "linear"},
        "target": {"name": "pixels"},
        **({"images": images} if images else {}),
        "train": {"epochs": 0, "batch": 1, "base_lr": 1.0},
    }
