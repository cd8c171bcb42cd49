"""A Swin-T turned upside down as prediction head (section 3.3, Table 2)."""

from __future__ import annotations

from collections.abc import Sequence

from simmim.heads._inverse_swin import InverseSwin


class InverseSwinT(InverseSwin):
    """`InverseSwin`, which says how it is built, at the size of Swin-T; 115.2 M parameters together with Swin-B."""

    def __init__(
        self,
        *,
        width: int,
        stride: int,
        channels: int,
        embed_dim: int = 96,
        depths: Sequence[int] = (2, 2, 6, 2),
        num_heads: Sequence[int] = (3, 6, 12, 24),
        window: int = 6,
    ) -> None:
        super().__init__(
            width=width,
            stride=stride,
            channels=channels,
            embed_dim=embed_dim,
            depths=depths,
            num_heads=num_heads,
            window=window,
        )
