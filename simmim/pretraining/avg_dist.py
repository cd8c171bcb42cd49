"""AvgDist: how far hidden content lies from what can be seen (section 4.1.2, Figure 3)."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import distance_transform_edt


def avg_dist(hidden: np.ndarray, side_px: int = 1) -> np.ndarray:
    """AvgDist of each mask: the mean, over its hidden elements, of the distance to the nearest visible element.

    Distances are Euclidean, between the centres of elements. The paper's words are "averaged Euclidean distance of
    masked pixels to the nearest visible ones"; the values it plots are those of the 4-px tokens that its encoder sees,
    neighbours being one token's side apart. Of the same mask, pixels give 1 to 2.5 px less, because the facing edges of
    two tokens are nearer to each other than their centres.

    Args:
        hidden: bool [n, h, w], True = hidden: the tokens of an image, or its pixels.
        side_px: side of one element.

    Returns:
        float64 [n], in pixels.

    Raises:
        ValueError: for a mask that hides nothing, or everything: it has no such distance.
    """
    undefined = ~hidden.any((1, 2)) | hidden.all((1, 2))
    if undefined.any():
        what = "everything" if hidden[undefined.argmax()].any() else "nothing"
        raise ValueError(f"AvgDist is not defined: mask {undefined.argmax()} of {len(hidden)} hides {what}")
    return side_px * np.array([distance_transform_edt(mask)[mask].mean() for mask in hidden])
