"""Attentive probe: a learnt query pools the tokens of a frozen encoder, a linear layer classifies what it gathers.

Not in the SimMIM paper. The form, one cross-attention under a linear layer, is the attentive probing of CAE (arXiv
2202.03026), which AIM (2401.08541) and V-JEPA (2404.08471) use for encoders whose features are spread over the tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.init import trunc_normal_


class AttentiveClassifier(nn.Module):
    """Frozen encoder, layer norm, one query with multi-head cross-attention over the tokens, linear layer.

    Args:
        encoder: is never trained and stays in evaluation mode.
        width: channels of the tokens.
        block: whose tokens, from 1; None takes the encoder's last output.
        head_width: fewest channels of an attention head.
    """

    def __init__(self, encoder: nn.Module, width: int, classes: int, block: int | None, head_width: int) -> None:
        super().__init__()
        self.encoder = encoder.requires_grad_(False).eval()
        self._block = block
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.query = nn.Parameter(trunc_normal_(torch.empty(1, 1, width), std=0.02))
        self.attention = nn.MultiheadAttention(width, _heads(width, head_width), batch_first=True)
        self.head = nn.Linear(width, classes)
        trunc_normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    def train(self, mode: bool = True) -> AttentiveClassifier:
        super().train(mode)
        self.encoder.eval()
        return self

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images [b, c, H, W] -> logits [b, classes]."""
        with torch.no_grad():
            tokens = tokens_of(self.encoder, images, self._block)
        tokens = self.norm(tokens.flatten(2).transpose(1, 2))  # [b, n, d]
        query = self.query.expand(len(tokens), -1, -1)  # [b, 1, d]
        pooled, _ = self.attention(query, tokens, tokens, need_weights=False)
        return self.head(pooled[:, 0])


def _heads(width: int, head_width: int) -> int:
    """The most heads of equal width that have at least `head_width` channels each."""
    return max(n for n in range(1, max(1, width // head_width) + 1) if width % n == 0)


def tokens_of(encoder: nn.Module, images: Tensor, block: int | None) -> Tensor:
    """Tokens [b, d, h, w] after a block of the encoder, from 1 to its depth, or with None its last output."""
    if block is None:
        return encoder(images)
    return next(x for number, x in enumerate(encoder.block_maps(images), 1) if number == block)
