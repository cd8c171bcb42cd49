"""Pixels of the loader against Pillow's, which rounds elsewhere."""

import numpy as np
from torch import Tensor


def assert_near(pixels: Tensor, picture: object) -> None:
    """[c, h, w] and a picture or array [h, w, c] differ by one grey level at most, and most values not at all.

    Where one side shrinks and the other grows, Pillow makes the two passes in another order, and rounds between them
    as everybody does. On noise from 0 to 255 that is more than one level: cubic overshoot is clipped there, too.
    """
    found, wanted = np.asarray(pixels.permute(1, 2, 0)).astype(int), np.atleast_3d(np.asarray(picture)).astype(int)
    assert found.shape == wanted.shape
    assert abs(found - wanted).max() <= 1 and (found != wanted).mean() < 0.4
