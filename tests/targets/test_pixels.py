"""Raw pixels and their averages."""

import torch
from torch.nn import functional

from simmim.targets.pixels import Pixels


def test_full_resolution_is_the_image_itself():
    images = torch.randn(2, 3, 24, 48)
    assert torch.equal(Pixels(3)(None, images), images)
    assert torch.equal(Pixels(3, 24)(None, images), images)


def test_lower_resolution_is_the_average_of_squares():
    images = torch.randn(2, 3, 24, 48)
    torch.testing.assert_close(Pixels(3, 6)(None, images), functional.avg_pool2d(images, 4))
    first = images[1, 2, 4:8, 8:12].mean()  # row 1, column 2
    torch.testing.assert_close(Pixels(3, 6)(None, images)[1, 2, 1, 2], first)


def test_a_picture_shows_every_cell_as_a_square():
    images = torch.randn(1, 3, 8, 8)
    cells = torch.randn(1, 3, 2, 2)
    picture = Pixels(3, 2).to_pixels(cells, images, None)
    assert torch.equal(picture, cells.repeat_interleave(4, 2).repeat_interleave(4, 3))
