"""UPerNet with an auxiliary FCN head on a SimMIM encoder (ADE20K transfer, appendix C).

Shapes: b images, k classes, c channels, h w cells of the finest level.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from segmentation_models_pytorch.decoders.upernet.decoder import UPerNetDecoder
from torch import Tensor, nn

from simmim.data.segmentation import IGNORED
from simmim.evaluate.precision import autocast
from simmim.evaluate.pyramid import LevelNorms, freeze_unused
from simmim.evaluate.segment.settings import SegmentSettings
from simmim.layers.normaliser import ImageNormaliser
from simmim.train.task import TrainTask


class Segmenter(TrainTask):
    """Encoder, UPerNet decoder (Xiao et al., 2018) and an auxiliary head on the second coarsest level.

    Args:
        encoder: has `feature_maps(images)` and `levels`; registered first, so its parameters are `encoder.*`.
        mean, std: of the images the encoder was trained with, in [0, 1].
        classes: number of classes, the ignored label not counted.
    """

    own_autocast = True  # so that `probabilities` runs in the precision of the training

    def __init__(
        self, encoder: nn.Module, mean: Sequence[float], std: Sequence[float], classes: int, settings: SegmentSettings
    ) -> None:
        super().__init__()
        channels = [channels for channels, _ in encoder.levels]
        freeze_unused(encoder)
        self.encoder = encoder
        self.normalise = ImageNormaliser(mean, std)
        self.norms = LevelNorms(encoder.levels)
        self.decoder = _decoder(channels, settings.decoder_channels)
        self.classifier = _classifier(settings.decoder_channels, classes, settings.dropout)
        self.auxiliary = nn.Sequential(
            nn.Conv2d(channels[-2], settings.auxiliary_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(settings.auxiliary_channels),
            nn.ReLU(inplace=True),
            _classifier(settings.auxiliary_channels, classes, settings.dropout),
        )
        self._auxiliary_weight = settings.auxiliary_weight
        self.autocast_dtype: torch.dtype | None = None

    def forward(self, batch: Mapping[str, Any]) -> Tensor:
        """Cross-entropy of the decoder plus the weighted one of the auxiliary head, over all pixels.

        Args:
            batch: `images` uint8 [b, 3, H, W]; `labels` int64 [b, H, W] from 0, 255 = ignored.
        """
        images, labels = batch["images"], batch["labels"]
        self._check_batch(len(images))
        with autocast(images.device, self.autocast_dtype):
            maps = self._maps(images)
            main, auxiliary = self._logits(maps), self.auxiliary(maps[-2])
        return pixel_loss(main, labels) + self._auxiliary_weight * pixel_loss(auxiliary, labels)

    @torch.no_grad()
    def probabilities(self, images: Tensor, output_size: Sequence[int], mirrored: bool = False) -> Tensor:
        """Probability of every class at every pixel, [b, k, *output_size]; the module must be in evaluation mode.

        Args:
            images: uint8 [b, 3, H, W].
            output_size: height and width, such as those of the label map.
            mirrored: look at the mirror images and turn the answer back.
        """
        assert not self.training, "probabilities need evaluation mode"
        images = images.flip(-1) if mirrored else images
        with autocast(images.device, self.autocast_dtype):
            logits = self._logits(self._maps(images))
        shares = _resized(logits, output_size).softmax(dim=1)
        return shares.flip(-1) if mirrored else shares

    def _check_batch(self, images: int) -> None:
        """The pyramid pooling normalises one pooled cell per image, which takes two of them."""
        if self.training and images == 1 and not isinstance(self.auxiliary[1], nn.SyncBatchNorm):
            raise ValueError(
                "UPerNet's batch norms need two images at once in every process: give train.batch and "
                "train.micro_batch at least 2 per process (on several GPUs statistics are shared and 1 is enough)"
            )

    def _maps(self, images: Tensor) -> list[Tensor]:
        return self.norms(self.encoder.feature_maps(self.normalise(images)))

    def _logits(self, maps: list[Tensor]) -> Tensor:
        return self.classifier(self.decoder([None, None, *maps]))  # [b, k, h, w]


def pixel_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy after resizing the logits [b, k, h, w] to the labels [b, H, W], averaged over all pixels.

    Ignored pixels have loss 0 but count, as in mmsegmentation: so every labelled pixel weighs the same in whichever
    micro-batch and process it is.
    """
    total = F.cross_entropy(_resized(logits, labels.shape[-2:]), labels, ignore_index=IGNORED, reduction="sum")
    return total / labels.numel()


def _resized(logits: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(logits.float(), tuple(size), mode="bilinear", align_corners=False)


def _classifier(channels: int, classes: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(nn.Dropout2d(dropout), nn.Conv2d(channels, classes, 1))


def _decoder(channels: list[int], width: int) -> UPerNetDecoder:
    """The decoder takes a pyramid from full resolution on and never reads its first two levels.

    Its own LayerNorms give way to ours, which the auxiliary head shares, as in the published segmenters on Swin.
    """
    decoder = UPerNetDecoder([0, 0, *channels], encoder_depth=len(channels) + 1, decoder_channels=width)
    decoder.feature_norms = nn.ModuleList(nn.Identity() for _ in channels)
    return decoder
