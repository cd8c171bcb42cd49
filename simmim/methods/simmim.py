"""SimMIM (section 3): hide patches, encode, predict the target, compare where it was hidden.

Shapes: b images, c channels, H W pixels; h w cells of the target.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from simmim import losses, plugin
from simmim.config.sections import GeometrySection, ImagesSection, LossSection
from simmim.data.pretraining import PretrainingImages
from simmim.data.shards import Shards
from simmim.geometry import Geometry
from simmim.layers.normaliser import ImageNormaliser
from simmim.methods._method import Method
from simmim.methods._validation import validation_losses
from simmim.plugin import Component


class SimMIM(Method):
    """Encoder and head with the loss that trains them.

    Args:
        encoder: hides tokens; [b, c, H, W] -> features [b, width, H / stride, W / stride].
        geometry: sizes of image and masked patch.
        images: crops and channel statistics.
        mask: which patches are hidden.
        head: features -> prediction [b, channels, h, w].
        target: images -> what to predict, [b, channels, h, w] or classes (`simmim.targets`).
        loss: how both are compared, and where: on hidden cells, or on all of them (Table 4).
        tokenizer: of a target that has one.

    Raises:
        ValueError: for an unknown name or setting, a loss that the target cannot take, or sizes that do not divide.
    """

    trained_encoder = kept_encoder = "encoder"
    kept_head = "head"

    def __init__(
        self,
        *,
        encoder: Component,
        geometry: GeometrySection,
        images: ImagesSection,
        mask: Component,
        head: Component,
        target: Component,
        loss: LossSection,
        tokenizer: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.normalise = ImageNormaliser(images.mean, images.std)
        channels = self.normalise.channels
        self.encoder = plugin.build("encoders", encoder, image_px=geometry.image_px, in_channels=channels)
        sizes = self.encoder.token, self.encoder.stride
        self.geometry = Geometry(geometry.image_px, *sizes, geometry.masked_patch_px)
        self.mask = plugin.build("masks", mask)
        settings = {} if tokenizer is None else {"tokenizer": tokenizer}
        self.target = plugin.build("targets", target.changed(**settings), image_channels=channels)
        plugin.check_choice(f"loss of target={target.name}", loss.name, self.target.losses)
        rows = self.target.resolution_px or geometry.image_px[0]
        self.target_cell = self.geometry.target_cell(rows, self.target.cell_multiple)
        per_feature = {"stride": self.encoder.stride // self.target_cell, "channels": self.target.channels}
        self.head = plugin.build("heads", head, width=self.encoder.width, **per_feature)
        self._loss, self._images = loss, images

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Mean loss of a batch of `images` [b, c, H, W] and `hidden` bool [b, *tokens], True = hidden."""
        normalised = self.normalise(batch["images"])
        prediction = self.predict(normalised, batch["hidden"])
        wanted = self.target(batch["images"], normalised)
        self._check_shapes(prediction, wanted)
        return self.compare(prediction, wanted, batch["hidden"], everywhere=self._loss.area == "full")

    def predict(self, normalised: Tensor, hidden: Tensor) -> Tensor:
        """The prediction for every cell, hidden or not, [b, channels, h, w] in the target's units."""
        return self.head(self.encoder(normalised, hidden))

    def _check_shapes(self, prediction: Tensor, wanted: Tensor) -> None:
        """Refuse a head or a target whose cells or channels PyTorch would repeat without a word."""
        channels, cells = self.target.channels, [side // self.target_cell for side in self.geometry.image]
        groups = channels if wanted.is_floating_point() else wanted.shape[1]  # of classes
        for part, given, expected in ((self.head, prediction, channels), (self.target, wanted, groups)):
            if [*given.shape[1:]] != [expected, *cells] or channels % expected:
                raise ValueError(
                    f"{type(part).__module__} gives {[*given.shape]}, not [images, {expected}, {cells[0]}, {cells[1]}]"
                )

    def compare(self, prediction: Tensor, wanted: Tensor, hidden: Tensor, everywhere: bool = False) -> Tensor:
        """Mean loss of a prediction on hidden cells, or everywhere.

        Args:
            prediction, wanted: [b, channels, h, w], or one colour [b, channels, 1, 1]; wanted may be classes.
            hidden: mask of tokens, bool [b, *tokens].
        """
        weight = self.geometry.tokens_to_target(hidden, self.target_cell)[:, None].float()  # [b, 1, h, w]
        weight = torch.ones_like(weight) if everywhere else weight
        return losses.BY_NAME[self._loss.name](prediction, wanted, weight)

    def dataset(self, shards: Shards, seed: int) -> PretrainingImages:
        """Random crops and the mask of each."""
        return PretrainingImages(shards, self._images, self.mask, self.geometry, seed, self.normalise.channels)

    def validate(self, shards: Shards, dtype: torch.dtype | None) -> dict[str, float]:
        """The loss on hidden cells of whole images, and that of predicting each image's mean visible colour."""
        return validation_losses(self, shards, dtype)

    def reconstruct(self, images: Tensor, hidden: Tensor) -> Tensor | None:
        """The prediction in the channels and the type of the images; None where the target's codes have no picture."""
        normalised = self.normalise(images)
        prediction = self.predict(normalised, hidden).float()
        picture = self.target.to_pixels(prediction, normalised, self.normalise)
        return None if picture is None else self.normalise.undo(picture, images.dtype)
