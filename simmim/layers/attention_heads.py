"""Attention heads share the channels equally; timm and PyTorch find out in the first forward pass that they do not."""

from __future__ import annotations

from collections.abc import Sequence


def check_heads(field: str, heads: int, channels: int) -> None:
    """Raise a ValueError where the channels are no multiple of the heads.

    Args:
        field: how the message begins, such as `encoder.num_heads`.
    """
    if heads < 1 or channels % heads:
        fitting = [number for number in range(1, channels + 1) if channels % number == 0]
        nearest = sorted(sorted(fitting, key=lambda number: abs(number - heads))[:2])
        raise ValueError(
            f"{field}: {heads} heads do not divide the {channels} channels; nearest that do: "
            f"{' and '.join(map(str, nearest)) or 'none'}"
        )


def check_stages(part: str, embed_dim: int, depths: Sequence[int], num_heads: Sequence[int]) -> None:
    """The same for every stage of a Swin, each of which has twice the channels of the one before.

    Args:
        part: "encoder" or "head".
    """
    if len(depths) != len(num_heads):
        raise ValueError(f"depths {list(depths)} and num_heads {list(num_heads)} must name the same stages")
    for stage, heads in enumerate(num_heads):
        check_heads(f"{part}.num_heads, stage {stage + 1}", heads, embed_dim * 2**stage)
