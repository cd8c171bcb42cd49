"""SimMIM (section 3): hide patches, encode, predict the target, compare where it was hidden."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from simmim import losses, plugin
from simmim.config.sections import IMAGENET_MEAN, IMAGENET_STD
from simmim.geometry import Geometry
from simmim.layers.normaliser import ImageNormaliser

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
