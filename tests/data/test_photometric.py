"""Photometric distortion changes what it says, by how much it says."""

import numpy as np
import pytest
from PIL import Image

from simmim.data.photometric import distorted

NEVER, ALWAYS = 0.9, 0.1


def shown(colour, brightness=None, contrast=None, saturation=None, hue=None, contrast_first=0.1):
    """A colour after the changes that have an amount, from 0 (least) to 1 (most)."""
    amounts = (brightness, contrast, saturation, hue)
    draws = [NEVER if amount is None else ALWAYS for amount in amounts]
    draws += [0.5 if amount is None else amount for amount in amounts]
    image = Image.new("RGB", (1, 1), colour)
    return np.asarray(distorted(image, np.array([*draws, contrast_first])))[0, 0].tolist()


def test_nothing_is_changed_without_a_change():
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    draws = np.array([NEVER] * 4 + [0.2] * 5)
    assert (np.asarray(distorted(Image.fromarray(pixels), draws)) == pixels).all()


def test_brightness_is_added_and_clipped():
    assert shown((100, 20, 240), brightness=0) == [68, 0, 208]
    assert shown((100, 20, 240), brightness=1) == [132, 52, 255]


def test_contrast_multiplies():
    assert shown((100, 20, 240), contrast=0) == [50, 10, 120]
    assert shown((100, 20, 240), contrast=1) == [150, 30, 255]


@pytest.mark.parametrize("amount, least", [(0, 150), (1, 50)])
def test_saturation_moves_away_from_grey(amount, least):
    red, green, blue = shown((200, 100, 100), saturation=amount)
    assert red == 200 and green == blue == pytest.approx(least, abs=2)


def test_hue_turns_by_up_to_a_tenth_of_the_circle():
    assert shown((200, 0, 0), hue=1) == pytest.approx([200, 120, 0], abs=4)  # 36 degrees of 60 towards yellow
    assert shown((200, 0, 0), hue=0) == pytest.approx([200, 0, 120], abs=4)
    assert shown((77, 77, 77), hue=1) == [77, 77, 77]


def test_contrast_comes_first_or_last():
    first, last = (shown((200, 100, 100), contrast=1, saturation=0, contrast_first=draw) for draw in (0.1, 0.9))
    assert first[0] == last[0] == 255
    assert first[1] == pytest.approx(202, abs=2) and last[1] == pytest.approx(225, abs=2)
