"""Converts the authors' checkpoints into encoder files and back, and checks that features agree before it writes.

Published files and what they hold: docs/released_weights.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from simmim import plugin
from simmim.config.sections import IMAGENET_MEAN, IMAGENET_STD
from simmim.plugin import Component
from simmim.released import names
from simmim.released.architecture import Architecture, recognise
from simmim.released.checkpoint import Checkpoint, is_encoder_file, read_checkpoint
from simmim.released.fit import half_format, load_released, released_state
from simmim.released.reference import TOLERANCE, disagreement, released_features, trial_images
from simmim.storage.encoder_file import load_encoder, save_encoder
from simmim.storage.files import sha256_file, whole_file
from simmim.storage.reading import refuse_existing

_TABLE_PER_BLOCK = (
    "has a position table in every block (encoder.shared_bias=false): the released fine-tuning ends in a KeyError for "
    "the shared one, unless in remap_pretrained_keys_vit the lines up to its `pop` are indented into the `if`"
)
_ASSUMED = (
    "not told by the file: the windows it was pre-trained with. Its own are taken; if those were others, features are "
    "wrong: convert a .pth that has its config or relative_coords_table"
)
_OURS, _RELEASED = ".safetensors", ".pth"


@dataclass(frozen=True)
class Loaded:
    """An encoder with the header of its file, and notes for the user."""

    encoder: nn.Module
    header: Mapping[str, Any]
    notes: tuple[str, ...] = ()

    def with_note(self, note: str) -> Loaded:
        """A copy with one more note."""
        return replace(self, notes=(*self.notes, note))


def convert(
    source: Path | str,
    target: Path | str,
    *,
    image_px: int | None = None,
    window: int | None = None,
    overwrite: bool = False,
    sha256: str | None = None,
) -> tuple[str, ...]:
    """Write the encoder of one file to another: `.safetensors` is an encoder file of ours, `.pth` the released layout.

    Args:
        source: a released `.pth`, its state as `.safetensors`, or an encoder file of ours.
        image_px, window: what the written encoder is for; None = as in the source. Position tables are resized as the
            released code does. They also complete a source that does not determine its own.
        sha256: the published digest of the source in hex, where one is known.

    Returns:
        Lines that say what was recognised, left aside and checked.

    Raises:
        ValueError: for a target that exists, a source that is damaged, refused, does not fit or gives other features
            than timm's reading of the released layout, or a size that the target cannot have. Nothing is written then.
    """
    source, target = (Path(each).expanduser() for each in (source, target))
    for path in (source, target):
        plugin.check_choice(f"file ending of {path}", path.suffix, (_OURS, _RELEASED))
    for name, value in (("--image-px", image_px), ("--window", window)):
        if value is not None and value < 1:
            raise ValueError(f"{name} {value} must be at least 1")
    refuse_existing(target, overwrite)
    if sha256 is not None:
        _check_sha256(source, sha256)
    loaded = _load(source, image_px, window)
    loaded = _fitted(loaded, image_px, window)
    if target.suffix == _OURS:
        save_encoder(target, loaded.encoder, loaded.header)
    else:
        loaded = _write_released(target, loaded)
    return loaded.with_note(f"wrote {target}").notes


def _check_sha256(source: Path, stated: str) -> None:
    if not re.fullmatch("[0-9a-fA-F]{64}", stated):
        raise ValueError(f"SHA-256 '{stated}' must be 64 hex digits")
    found = sha256_file(source)
    if found != stated.lower():
        raise ValueError(f"{source} has the SHA-256 {found}, not the stated {stated.lower()}; fetch it again")


def _load(source: Path, image_px: int | None, window: int | None) -> Loaded:
    if source.suffix == _OURS and is_encoder_file(source):
        encoder, header = load_encoder(source)
        return Loaded(encoder.eval(), header)
    checkpoint = read_checkpoint(source)
    try:
        return _rebuilt(source, checkpoint, image_px, window)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error


def _rebuilt(source: Path, checkpoint: Checkpoint, image_px: int | None, window: int | None) -> Loaded:
    """The encoder of a released checkpoint, checked."""
    prefix = names.prefix_of(checkpoint.state)
    aside = [name for name in checkpoint.state if names.is_left_aside(name, prefix)]
    state = {_bare(name, prefix): value for name, value in checkpoint.state.items() if name not in aside}
    if len(state) + len(aside) != len(checkpoint.state):
        raise ValueError("it holds the same entry under its old and under its new name")
    architecture = recognise(state, checkpoint.config, image_px, window)
    is_fine_tuned = not prefix.endswith(names.PREFIX)
    header = _header(source, architecture, checkpoint.config, is_fine_tuned)
    notes = [f"recognised {_described(header)}", *checkpoint.notes]
    notes.append(f"not told by the file: its images' statistics. ImageNet's are taken, {_statistics(header)}")
    if wrapper := names.wrapper_of(prefix):
        notes.append(f"taken off the encoder's names: {wrapper}")
    if half := half_format(state):
        notes.append(f"stored in half precision, values kept in float32: {str(half).removeprefix('torch.')}")
    if is_fine_tuned and architecture.own_windows:
        notes.append(_ASSUMED)
    if is_fine_tuned and "mask_token" not in state:
        state["mask_token"] = torch.zeros(1, 1, architecture.encoder["embed_dim"], dtype=half)
        notes.append("not in a fine-tuned file, set to zero: mask_token")
    encoder = architecture.build()
    load_released(encoder, state)
    notes.append(_agreement(encoder, state, architecture))
    notes.append(f"left aside: {', '.join([*aside, *checkpoint.left_aside]) or 'nothing'}")
    return Loaded(encoder, header, tuple(notes))


def _bare(name: str, prefix: str) -> str:
    """The current released name of an encoder entry, without prefix; any other name is marked as such."""
    return names.current_name(name.removeprefix(prefix)) if name.startswith(prefix) else f"{name} (without '{prefix}')"


def _fitted(loaded: Loaded, image_px: int | None, window: int | None) -> Loaded:
    """The encoder at another input size or window."""
    header, before = dict(loaded.header), tuple(loaded.header["image_px"])
    size = before if image_px is None else (image_px, image_px)
    section = dict(header["encoder"]) | loaded.encoder.kept_settings
    if window is not None:
        name = section["name"]
        allowed = plugin.component("encoders", name).transfer_settings
        plugin.check_choice(f"transfer setting of encoder={name}", "window", allowed)
        section["window"] = window
    if size == before and section.get("window") == header["encoder"].get("window"):
        return loaded
    encoder = plugin.build("encoders", Component(**section), image_px=size, in_channels=header["in_channels"]).eval()
    encoder.load_state_dict(encoder.adapt(loaded.encoder.state_dict(), before), strict=True)
    header |= {"encoder": section, "image_px": list(size)}
    return replace(loaded, encoder=encoder, header=header).with_note(f"position tables fitted to {_described(header)}")


def _write_released(target: Path, loaded: Loaded) -> Loaded:
    """Write {"model": state} with the names of the released pre-training model, without its decoder."""
    architecture = Architecture.of(loaded.header)
    architecture.check(loaded.encoder)
    state = released_state(loaded.encoder)
    note = _agreement(loaded.encoder, state, architecture)
    content = {"model": {names.PREFIX + name: value for name, value in state.items()}}
    with whole_file(target) as temporary, open(temporary, "wb") as file:  # given a path, torch would store its name
        torch.save(content, file)
    if architecture.encoder["name"] == "vit" and not loaded.encoder.shared_bias:
        loaded = loaded.with_note(_TABLE_PER_BLOCK)
    return loaded.with_note(note).with_note(_untold_statistics(loaded.header))


def _untold_statistics(header: Mapping[str, Any]) -> str:
    """What a user of a released file has to know, which has no place for it."""
    if "mean" not in header:
        return "nothing says by which mean and deviation its images are normalised"
    told = f"the file does not say that its images, in [0, 1], are normalised by {_statistics(header)}"
    is_theirs = [*header["mean"], *header["std"]] == [*IMAGENET_MEAN, *IMAGENET_STD]
    return told if is_theirs else f"{told}; the released code takes others, ImageNet's: change them there"


def _statistics(header: Mapping[str, Any]) -> str:
    mean, deviation = (", ".join(f"{value:g}" for value in header[name]) for name in ("mean", "std"))
    return f"mean {mean} and deviation {deviation}"


def _agreement(encoder: nn.Module, state: Mapping[str, Tensor], architecture: Architecture) -> str:
    """Compare the features of our encoder with those of its released state; raise a ValueError where they differ."""
    images = trial_images(architecture)
    with torch.inference_mode():
        difference = disagreement(encoder(images), released_features(state, architecture, images))
    if not difference <= TOLERANCE:  # also when it is not a number
        raise ValueError(f"features differ from the released layout's by {difference:.1e}, allowed is {TOLERANCE:.0e}")
    return f"features agree with the released layout's to {difference:.1e} (allowed {TOLERANCE:.0e})"


def _header(source: Path, architecture: Architecture, config: Mapping[str, Any], is_fine_tuned: bool) -> dict[str, Any]:
    """Header of the encoder file: what is needed to rebuild and feed the encoder, and its origin."""
    if architecture.in_channels != len(IMAGENET_MEAN):
        raise ValueError(f"it takes {architecture.in_channels} channels; released weights take RGB in ImageNet's units")
    origin = {"file": source.name, "sha256": sha256_file(source), "released_as": config.get("TAG") or source.stem}
    origin["fine_tuned"] = is_fine_tuned
    return {
        "encoder": dict(architecture.encoder),
        "image_px": [architecture.image_px] * 2,
        "in_channels": architecture.in_channels,
        "mean": IMAGENET_MEAN,
        "std": IMAGENET_STD,
        "origin": origin,
    }


def _described(header: Mapping[str, Any]) -> str:
    settings = " ".join(f"{key}={value}" for key, value in sorted(header["encoder"].items()) if key != "name")
    height, width = header["image_px"]
    return f"encoder={header['encoder']['name']} {settings} at {height} x {width} px"
