"""Where images, label maps and masks lie on the canvas, and what COCO's forms of a mask mean."""

import numpy as np
import pytest
from PIL import Image

from simmim.data import coco_objects
from simmim.data.placement import Placement, fit_long_side, fit_short_side, random_placement
from simmim.data.segmentation import largest_share

BLOB = (slice(10, 30), slice(40, 52))  # rows 10 to 29, columns 40 to 51 of 48 x 64
POLYGON = [40, 10, 52, 10, 52, 30, 40, 30]


def test_ignored_pixels_are_no_class():
    assert largest_share(np.array([[255, 255, 255, 0, 1]], dtype=np.uint8)) == 0.5
    assert largest_share(np.array([[255, 3, 3, 3, 1]], dtype=np.uint8)) == 0.75
    assert largest_share(np.array([[255]], dtype=np.uint8)) == 1.0


@pytest.mark.parametrize(("draw", "corner"), [(0.0, 0), (0.19, 0), (0.21, 1), (0.79, 3), (0.81, 4), (0.999, 4)])
def test_windows_reach_both_edges(draw, corner):
    placement = random_placement((10, 10), (14, 24), 10, (draw, 0.5), mirrored=False)
    assert placement.corner == (corner, 7) and placement.canvas == (10, 10)
    assert random_placement((10, 10), (8, 9), 10, (draw, draw), mirrored=False).corner == (0, 0)


def test_sizes_keep_the_proportions():
    assert fit_long_side((48, 64), 128) == (96, 128)
    assert fit_short_side((48, 64), 96, 4) == (96, 128)
    assert fit_short_side((10, 100), 20, 4) == (8, 80)  # the long side is what limits


def test_a_crop_shows_the_right_part():
    rows = np.repeat(np.arange(60, dtype=np.uint8)[:, None], 60, axis=1)
    image = Image.fromarray(np.stack([rows, rows.T, rows], axis=2))
    placement = Placement((60, 60), (60, 60), (20, 20), corner=(7, 30), mirrored=True)
    shown = placement.image(image, (9, 9, 9))
    assert shown[0, :, 0].tolist() == list(range(7, 27))
    assert shown[1, 0].tolist() == list(range(49, 29, -1))
    assert (placement.labels(rows, 255) == shown[0]).all() and (placement.labels(rows.T, 255) == shown[1]).all()


def test_every_form_of_mask_is_the_same_mask():
    wanted = np.zeros((48, 64), dtype=np.uint8)
    wanted[BLOB] = 1
    flat = [40 * 48 + 10] + [20, 28] * 11 + [20, 18 + 12 * 48]
    plain = {"size": [48, 64], "counts": flat}
    assert sum(flat) == 48 * 64
    packed = coco_objects.run_lengths(plain, (48, 64)) | {}
    compressed = packed | {"counts": packed["counts"].decode()}  # as JSON holds it
    halves = [[40, 10, 46, 10, 46, 30, 40, 30], [46, 10, 52, 10, 52, 30, 46, 30]]
    for form in ([POLYGON], plain, compressed, halves):
        assert (coco_objects.masks([{"segmentation": form}], (48, 64))[0] == wanted).all()


def test_a_degenerate_polygon_is_nothing_not_a_box():
    """pycocotools reads a list of four numbers as x, y, width, height."""
    assert coco_objects.masks([{"segmentation": [[1, 1, 20, 20]]}], (48, 64)).sum() == 0


def test_an_annotation_partly_outside_is_cut_at_the_edge():
    outside = [[-20, -5, 10, -5, 10, 12, -20, 12]]
    assert coco_objects.masks([{"segmentation": outside}], (48, 64))[0].sum() == 120
