"""Classifier on an encoder for fine-tuning (section 4.1; the released classification models)."""

from __future__ import annotations

import functools

from timm.layers import trunc_normal_
from torch import Tensor, nn

_SHRUNK_HEAD = 0.001


class Classifier(nn.Module):
    """Average over the encoder's output, then one linear layer.

    An encoder with a final norm (Swin) is pooled after it. One without (ViT for fine-tuning: `final_norm=False`) is
    pooled first, over patch tokens only, and gets a fresh norm here; its linear layer starts a thousand times smaller.

    Args:
        encoder: its mask token is frozen, since nothing is hidden here.
        classes: number of classes.
    """

    def __init__(self, encoder: nn.Module, classes: int) -> None:
        super().__init__()
        encoder.mask_token.requires_grad_(False)
        self.encoder = encoder
        norm = nn.Identity if encoder.final_norm else functools.partial(nn.LayerNorm, eps=1e-6)
        self.fc_norm = norm(encoder.width)
        self.head = nn.Linear(encoder.width, classes)
        trunc_normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)
        if not encoder.final_norm:
            self.head.weight.data *= _SHRUNK_HEAD

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images [b, c, H, W] -> logits [b, classes]."""
        return self.head(self.features(images))

    def features(self, images: Tensor) -> Tensor:
        """What the linear layer sees, [b, width]."""
        return self.fc_norm(self.encoder(images).mean(dim=(2, 3)))
