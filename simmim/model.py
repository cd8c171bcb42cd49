"""SimMIM (section 3): hide patches, encode, predict the target, compare where it was hidden."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from simmim import losses, model_file, plugin
from simmim.geometry import Geometry
from simmim.normaliser import ImageNormaliser
from simmim.sections import IMAGENET_MEAN, IMAGENET_STD

_LOSS_AREAS = "masked", "full"


class SimMIM(nn.Module):
    """Encoder and head with the loss that trains them.

    Args:
        encoder: [b, c, H, W] and a mask of tokens -> [b, width, H / stride, W / stride].
        head: those features -> [b, channels, h, w], on the target's cells.
        target: images -> what to predict, [b, channels, h, w] or classes (`simmim.targets`).
        loss: one of `simmim.losses`.
        geometry: sizes of image, token and masked patch.
        target_cell: side in pixels of one of the target's cells.
        loss_area: "masked" counts hidden cells only, "full" counts all of them (Table 4).
    """

    def __init__(
        self,
        encoder: nn.Module,
        head: nn.Module,
        target: Any,
        loss: losses.Loss,
        geometry: Geometry,
        target_cell: int = 1,
        loss_area: str = "masked",
    ) -> None:
        super().__init__()
        plugin.check_choice("loss area", loss_area, _LOSS_AREAS)
        self.encoder, self.head, self.target, self.loss = encoder, head, target, loss
        self.geometry, self.target_cell, self.loss_area = geometry, target_cell, loss_area

    def forward(self, images: Tensor, hidden: Tensor) -> Tensor:
        """Mean loss of normalised images [b, c, H, W] under a mask of tokens, bool [b, tokens], True = hidden."""
        weight = self.hidden_cells(hidden).to(images.dtype)
        if self.loss_area == "full":
            weight = torch.ones_like(weight)
        return self.loss(self.reconstruct(images, hidden), self.target(images), weight)

    def reconstruct(self, images: Tensor, hidden: Tensor) -> Tensor:
        """The prediction for every cell, hidden or not, [b, channels, h, w] in the target's units."""
        return self.head(self.encoder(images, hidden))

    def hidden_cells(self, hidden: Tensor) -> Tensor:
        """Mask of tokens, bool [b, tokens] -> mask of the target's cells, bool [b, 1, h, w]."""
        return self.geometry.tokens_to_target(hidden, self.target_cell)[:, None]


def build_simmim(
    *,
    encoder: Mapping[str, Any],
    head: Mapping[str, Any],
    target: Mapping[str, Any],
    loss: Mapping[str, Any],
    image_px: tuple[int, int],
    masked_patch_px: int,
    normaliser: ImageNormaliser | None = None,
) -> SimMIM:
    """Make the model that config sections describe.

    Args:
        encoder, head, target: `{"name": ..., setting: ...}`.
        loss: `{"name": "l1", "area": "masked"}`.
        masked_patch_px: side of the square that is hidden as a whole.
        normaliser: what images are normalised with, ImageNet's statistics by default; says their channels.

    Raises:
        ValueError: for an unknown name or setting, a loss the target cannot take, or sizes that do not divide.
    """
    normaliser = normaliser or ImageNormaliser(IMAGENET_MEAN, IMAGENET_STD)
    made_encoder = plugin.build("encoders", encoder, image_px=tuple(image_px), in_channels=normaliser.channels)
    geometry = Geometry(tuple(image_px), made_encoder.token, made_encoder.stride, masked_patch_px)
    made_target = plugin.build("targets", target, normaliser=normaliser)
    plugin.check_choice(f"loss of target={target['name']}", loss["name"], made_target.losses)
    cell = geometry.target_cell(made_target.resolution_px or image_px[0], made_target.cell_multiple)
    stride, channels = made_encoder.stride // cell, made_target.channels
    made_head = plugin.build("heads", head, width=made_encoder.width, stride=stride, channels=channels)
    loss_function = losses.BY_NAME[loss["name"]]
    return SimMIM(made_encoder, made_head, made_target, loss_function, geometry, cell, loss.get("area", "masked"))


def save_encoder(path: Path | str, encoder: nn.Module, header: Mapping[str, Any]) -> None:
    """Write an encoder with all that is needed to rebuild it, whole or not at all.

    Args:
        header: JSON values; must hold `encoder` (its config section), `image_px` and `in_channels`, and should hold the
            `mean` and `std` the images were normalised with. A digest of header and tensors is stored beside it.
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
        transfer: settings that may differ from the saved ones (the encoder's `transfer_settings`).

    Returns:
        The encoder and its header: that of the file, with the size and settings that the encoder has now.

    Raises:
        ValueError: for a file that is not an encoder or was changed since it was written, for a setting that cannot
            change, and for tensors that do not fit (loading is strict).
    """
    header, state = model_file.read(path, "encoder")
    section = header["encoder"]
    for setting in transfer:
        allowed = plugin.component("encoders", section["name"]).transfer_settings
        plugin.check_choice(f"transfer setting of encoder={section['name']}", setting, allowed)
    saved_px = tuple(header["image_px"])
    fitted = {"encoder": dict(section) | _kept_settings(header) | transfer, "image_px": list(image_px or saved_px)}
    context = {"image_px": tuple(fitted["image_px"]), "in_channels": header["in_channels"]}
    encoder = plugin.build("encoders", fitted["encoder"], **context)
    model_file.load(path, "encoder", encoder, encoder.adapt(state, saved_px))
    return encoder, header | fitted


def start_from(encoder: nn.Module, path: Path | str) -> dict[str, Any]:
    """Put the weights of an encoder file into an encoder of the same architecture, fitted to its size and windows.

    Returns:
        The file's header.

    Raises:
        ValueError: as `load_encoder`.
    """
    header, state = model_file.read(path, "encoder")
    model_file.load(path, "encoder", encoder, encoder.adapt(state, tuple(header["image_px"])))
    for setting, value in _kept_settings(header).items():
        if value != encoder.kept_settings[setting]:
            raise ValueError(
                f"{path} was trained with {setting} {value}, the encoder it is to fill has "
                f"{encoder.kept_settings[setting]}; set encoder.{setting}"
            )
    return header


def _kept_settings(header: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that the saved encoder took from its own size and window and that must outlive a change of these."""
    with torch.device("meta"):
        saved = plugin.build(
            "encoders", header["encoder"], image_px=tuple(header["image_px"]), in_channels=header["in_channels"]
        )
    return getattr(saved, "kept_settings", {})
