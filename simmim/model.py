"""SimMIM (section 3): hide patches, encode, predict the target, compare where it was hidden."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from simmim import losses, plugin
from simmim.files import whole_file
from simmim.geometry import Geometry

_LOSS_AREAS = "masked", "full"


class SimMIM(nn.Module):
    """Encoder and head with the loss that trains them.

    Args:
        encoder: [b, c, H, W] and a mask of tokens -> [b, width, H / stride, W / stride].
        head: those features -> [b, channels, H, W].
        target: images -> what to predict, [b, channels, H, W].
        loss: one of `simmim.losses`.
        geometry: sizes of image, token and masked patch.
        loss_area: "masked" counts hidden pixels only, "full" counts all of them (Table 4).
    """

    def __init__(
        self,
        encoder: nn.Module,
        head: nn.Module,
        target: Any,
        loss: losses.Loss,
        geometry: Geometry,
        loss_area: str = "masked",
    ) -> None:
        super().__init__()
        plugin.check_choice("loss area", loss_area, _LOSS_AREAS)
        self.encoder, self.head, self.target, self.loss = encoder, head, target, loss
        self.geometry, self.loss_area = geometry, loss_area

    def forward(self, images: Tensor, hidden: Tensor) -> Tensor:
        """Mean loss of normalised images [b, c, H, W] under a mask of tokens, bool [b, h, w], True = hidden."""
        target = self.target(images)
        weight = self.geometry.tokens_to_pixels(hidden)[:, None].to(target.dtype)  # [b, 1, H, W]
        if self.loss_area == "full":
            weight = torch.ones_like(weight)
        return self.loss(self.reconstruct(images, hidden), target, weight)

    def reconstruct(self, images: Tensor, hidden: Tensor) -> Tensor:
        """The prediction for every pixel, hidden or not, [b, channels, H, W] in the target's units."""
        return self.head(self.encoder(images, hidden))


def build_simmim(
    *,
    encoder: Mapping[str, Any],
    head: Mapping[str, Any],
    target: Mapping[str, Any],
    loss: Mapping[str, Any],
    image_px: tuple[int, int],
    masked_patch_px: int,
    in_channels: int = 3,
) -> SimMIM:
    """Make the model that config sections describe.

    Args:
        encoder, head, target: `{"name": ..., setting: ...}`.
        loss: `{"name": "l1", "area": "masked"}`.
        masked_patch_px: side of the square that is hidden as a whole.

    Raises:
        ValueError: for an unknown name or setting, a loss the target cannot take, or sizes that do not divide.
    """
    made_encoder = plugin.build("encoders", encoder, image_px=tuple(image_px), in_channels=in_channels)
    geometry = Geometry(tuple(image_px), made_encoder.token, made_encoder.stride, masked_patch_px)
    made_target = plugin.build("targets", target, in_channels=in_channels)
    plugin.check_choice(f"loss of target={target['name']}", loss["name"], made_target.losses)
    made_head = plugin.build(
        "heads", head, width=made_encoder.width, stride=made_encoder.stride, channels=made_target.channels
    )
    loss_function = losses.BY_NAME[loss["name"]]
    return SimMIM(made_encoder, made_head, made_target, loss_function, geometry, loss.get("area", "masked"))


def save_encoder(path: Path | str, encoder: nn.Module, header: Mapping[str, Any]) -> None:
    """Write an encoder with all that is needed to rebuild it, whole or not at all.

    Args:
        header: JSON values; must hold `encoder` (its config section), `image_px` and `in_channels`, and should hold the
            `mean` and `std` the images were normalised with. A digest of header and tensors is stored beside it.
    """
    missing = {"encoder", "image_px", "in_channels"} - header.keys()
    assert not missing, f"header lacks {sorted(missing)}"
    text = json.dumps(dict(header), sort_keys=True)
    state = {name: value.detach().cpu().contiguous() for name, value in encoder.state_dict().items()}
    with whole_file(path) as temporary:
        save_file(state, temporary, metadata={"simmim": text, "sha256": _digest(text, state)})


def load_encoder(
    path: Path | str, image_px: tuple[int, int] | None = None, **transfer: Any
) -> tuple[nn.Module, dict[str, Any]]:
    """Rebuild an encoder from its file alone, on the CPU, fitted to another input size or window if asked.

    Args:
        image_px: height and width; None = as saved.
        transfer: settings that may differ from the saved ones (the encoder's `transfer_settings`).

    Returns:
        The encoder and the header it was saved with.

    Raises:
        ValueError: for a file that is not an encoder or was changed since it was written, for a setting that cannot
            change, and for tensors that do not fit (loading is strict).
    """
    header, state = _read_encoder(path)
    section = header["encoder"]
    for setting in transfer:
        allowed = plugin.component("encoders", section["name"]).transfer_settings
        plugin.check_choice(f"transfer setting of encoder={section['name']}", setting, allowed)
    saved_px = tuple(header["image_px"])
    context = {"image_px": tuple(image_px or saved_px), "in_channels": header["in_channels"]}
    encoder = plugin.build("encoders", dict(section) | transfer, **context)
    _fill(encoder, state, saved_px, path)
    return encoder, header


def start_from(encoder: nn.Module, path: Path | str) -> dict[str, Any]:
    """Put the weights of an encoder file into an encoder of the same architecture, fitted to its size and windows.

    Returns:
        The file's header.

    Raises:
        ValueError: as `load_encoder`.
    """
    header, state = _read_encoder(path)
    _fill(encoder, state, tuple(header["image_px"]), path)
    return header


def _fill(encoder: nn.Module, state: Mapping[str, Tensor], saved_px: tuple[int, int], path: Path | str) -> None:
    try:
        encoder.load_state_dict(encoder.adapt(state, saved_px), strict=True)
    except RuntimeError as error:
        raise ValueError(f"{path} does not fit the encoder it is to fill: {error}") from error


def _read_encoder(path: Path | str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    if "simmim" not in metadata:
        raise ValueError(f"{path} is not an encoder written by simmim: its header has no 'simmim' entry")
    if metadata.get("sha256") != _digest(metadata["simmim"], state):
        raise ValueError(f"{path} is damaged: its content does not match the SHA-256 in its header")
    return json.loads(metadata["simmim"]), state


def _digest(header: str, state: Mapping[str, Tensor]) -> str:
    """Hex SHA-256 over the header's text and every tensor's name, type, shape and bytes."""
    digest = hashlib.sha256(header.encode())
    for name, value in sorted(state.items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
