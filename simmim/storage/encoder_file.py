"""Encoder files: an encoder's weights and what is needed to rebuild it, at its own or another size and window."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from simmim import plugin
from simmim.plugin import Component
from simmim.storage import model_file
from simmim.storage.files import sha256_file

_CLASSIFIERS = "head.", "head_dist.", "fc."
_TABLES = "relative_position_index", "relative_coords_table", "attn_mask"  # older timm stores what sizes determine


def save_encoder(path: Path | str, encoder: nn.Module, header: Mapping[str, Any]) -> None:
    """Write an encoder and what is needed to rebuild it, whole or not at all.

    Args:
        header: JSON values; must hold `encoder` (its config section as JSON), `image_px` and `in_channels`, and should
            hold the `mean` and `std` the images were normalised with. A digest of header and tensors is stored too.
    """
    missing = {"encoder", "image_px", "in_channels"} - header.keys()
    assert not missing, f"header lacks {sorted(missing)}"
    model_file.write(path, encoder, header)


def load_encoder(
    path: Path | str, image_px: tuple[int, int] | None = None, **transfer: Any
) -> tuple[nn.Module, dict[str, Any]]:
    """Rebuild an encoder from its file alone, on the CPU, fitted to another input size or window if asked.

    Args:
        image_px: height and width; None = as saved.
        transfer: changed settings, among the encoder's `transfer_settings`.

    Returns:
        The encoder and its header: that of the file, with the size and settings that the encoder has now.

    Raises:
        ValueError: for a file that is not an encoder or was changed since it was written, for a setting that cannot
            change, and for tensors that do not fit (loading is strict).
    """
    header, state = model_file.read(path, "encoder")
    section = Component.model_validate(header["encoder"])
    for setting in transfer:
        allowed = plugin.component("encoders", section.name).transfer_settings
        plugin.check_choice(f"transfer setting of encoder={section.name}", setting, allowed)
    saved_px = tuple(header["image_px"])
    fitted, image_px = section.changed(**_kept_settings(header) | transfer), tuple(image_px or saved_px)
    encoder = plugin.build("encoders", fitted, image_px=image_px, in_channels=header["in_channels"])
    _fill(encoder, path, state, saved_px)
    return encoder, header | {"encoder": fitted.model_dump(mode="json"), "image_px": list(image_px)}


def start_from(encoder: nn.Module, path: Path | str) -> dict[str, Any]:
    """Load the weights of a file into an encoder of the same architecture, fitted to its size and window.

    Args:
        path: an encoder file, or a .safetensors with timm's names, as timm and Hugging Face publish them.

    Returns:
        The file's header; of a file of others, what of it was left aside.

    Raises:
        ValueError: as `load_encoder`.
    """
    if not model_file.is_own(path):
        return {"left_aside": _start_from_timm(encoder, path)}
    header, state = model_file.read(path, "encoder")
    _fill(encoder, path, state, tuple(header["image_px"]))
    for setting, value in _kept_settings(header).items():
        if value != encoder.kept_settings[setting]:
            raise ValueError(
                f"{path} was trained with {setting} {value}, the encoder it is to fill has "
                f"{encoder.kept_settings[setting]}; set encoder.{setting}"
            )
    return header


def _start_from_timm(encoder: nn.Module, path: Path | str) -> list[str]:
    """Load a state by timm's names strictly; returns what of it is no part of an encoder: the classifier, tables.

    A file without a mask token leaves the encoder its own.
    """
    ours, state = encoder.state_dict(), model_file.tensors(path)
    named = {name.removeprefix("body."): name for name in ours}
    aside = [n for n in state if n not in named and (n.startswith(_CLASSIFIERS) or n.endswith(_TABLES))]
    taken = {"mask_token": ours["mask_token"]} | {name: state[name] for name in state if name not in aside}
    model_file.check_names(path, "encoder", taken, named)
    _fill(encoder, path, {named[name]: value for name, value in taken.items()})
    return aside


def _fill(
    encoder: nn.Module, path: Path | str, state: Mapping[str, torch.Tensor], image_px: tuple[int, int] | None = None
) -> None:
    """Load a state that was saved for `image_px`, fitted to the encoder's size and window."""
    try:
        fitted = encoder.adapt(state, image_px)
    except ValueError as error:
        raise ValueError(f"{path} does not fit the encoder it is to fill: {error}") from None
    model_file.load(path, "encoder", encoder, fitted)


def source_digest(path: Path | str) -> str:
    """Of a file that `start_from` takes: the digest that an encoder file states, of others that of their bytes."""
    return model_file.digest(path) if model_file.is_own(path) else sha256_file(path)


def _kept_settings(header: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that the saved encoder derived from its size and window and that stay when these change."""
    section, image_px = Component.model_validate(header["encoder"]), tuple(header["image_px"])
    with torch.device("meta"):
        return plugin.build("encoders", section, image_px=image_px, in_channels=header["in_channels"]).kept_settings
