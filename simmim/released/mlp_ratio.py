"""The ratio of an MLP's hidden channels to its channels: their product is rounded down, so no layer need have it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def mlp_ratio(hidden: int, channels: int) -> float:
    """The smallest ratio that makes so many hidden channels; with the widest stage's numbers it fits all stages."""
    ratio = hidden / channels
    return ratio if int(channels * ratio) == hidden else math.nextafter(ratio, math.inf)


def agreed_ratio(found: Mapping[str, Any], claims: Mapping[str, Any]) -> float:
    """The ratio of the config where it makes as many hidden channels as the tensors have, theirs otherwise.

    Args:
        found: settings that tensors tell, of Swin `depths` among them.
        claims: those of the config in the file, which may hold anything.
    """
    claimed, channels = claims.get("mlp_ratio"), found["embed_dim"] * 2 ** (len(found.get("depths", (0,))) - 1)
    is_ratio = isinstance(claimed, int | float) and 0 < claimed < math.inf
    is_same = is_ratio and int(channels * claimed) == int(channels * found["mlp_ratio"])
    return float(claimed) if is_same else found["mlp_ratio"]
