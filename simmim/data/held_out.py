"""Which images of a source are held out: a share of them, by a hash of each one's id and of nothing else.

An image stays on its side whatever is added to the source or taken from it, in any order and on any machine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

_KEY = b"simmim held out\0"


def place_of(sample_id: str) -> float:
    """Where an id falls in [0, 1)."""
    return int.from_bytes(hashlib.sha256(_KEY + sample_id.encode()).digest()[:6], "big") / 2**48


def belongs(sample_id: str, part: str, held_out: float) -> bool:
    """Whether an image is one of a part; every image is one of exactly one of "train" and "held_out".

    Args:
        part: "all", "train" or "held_out".
        held_out: share of the images.
    """
    return part == "all" or (place_of(sample_id) < held_out) == (part == "held_out")


def share_that_holds_out(ids: Iterable[str], share: float, at_least: int) -> float:
    """The share to ask for, so that at least so many of these images, and about this share of them, are held out.

    Half of them are the most that are.
    """
    places = sorted(map(place_of, ids))
    wanted = min(max(round(share * len(places)), at_least), len(places) // 2)
    if sum(place < share for place in places) == wanted or not wanted:
        return share
    return round((places[wanted - 1] + places[wanted]) / 2, 6)
