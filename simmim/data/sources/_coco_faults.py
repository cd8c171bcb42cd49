"""Faults of the objects of one image in COCO JSON: its image is refused, or the object is kept and reported."""

from __future__ import annotations

import collections
import math
from typing import Any

from faster_coco_eval.core import mask as coco_mask

from simmim.data import coco_objects

_EDGE_PX = 1.0  # annotators' boxes end a little outside the image
_FAR = 100  # sides of the image; outlines are drawn point by point, also outside the image
_SMALL = "with a polygon of fewer than three points, which is left out"
_OUTSIDE = "reaching outside the image, cut at its edge"
_FLAT = "with an empty box, not trained on"
_NO_MASK = "with a box and no mask, which detection refuses"
_NO_PIXEL = "without a pixel in the image, not trained on"


def inspect(objects: list[dict[str, Any]], image_px: tuple[int, int]) -> tuple[str, str]:
    """Look at the objects of an image of height and width `image_px`.

    Returns:
        Why the image cannot be used, "" where it can, and what is odd about it but kept as COCO's tools keep it:
        polygons cut at the edge, objects that cannot be trained on but count in the score.
    """
    found: collections.Counter[str] = collections.Counter()
    for one in objects:
        if fault := _fault(one, image_px):
            return f"object {one['id']} has {fault}", ""
        found.update(_oddities(one, image_px))
    return "", "; ".join(f"{number} object{'s'[: number > 1]} {oddity}" for oddity, number in found.items())


def _fault(one: dict[str, Any], image_px: tuple[int, int]) -> str:
    """What is wrong with an object, "" for nothing."""
    if not _are_numbers(one["bbox"]) or len(one["bbox"]) != 4:
        return f"a bbox that is not four numbers: {one['bbox']}"
    if not _are_numbers([one["area"]]):
        return f"an area that is not a number: {one['area']}"
    if one["iscrowd"] not in (0, 1):  # "0" would be a crowd for whatever asks only whether it is something
        return f"an iscrowd that is neither 0 nor 1: {one['iscrowd']}"
    shape = one["segmentation"]
    if isinstance(shape, list):
        return next(filter(None, (_polygon_fault(polygon, max(image_px)) for polygon in shape)), "")
    if not isinstance(shape, dict) or set(shape) != {"size", "counts"}:
        return "a segmentation that is neither polygons nor run lengths"
    if shape["size"] != list(image_px):
        return f"run lengths for {shape['size']} px, the image is listed with {list(image_px)} (height, width)"
    return _unreadable(shape, image_px)


def _polygon_fault(polygon: Any, image_side_px: int) -> str:
    if not _are_numbers(polygon) or len(polygon) % 2:
        return "a polygon that is not a list of x, y pairs"
    far = any(abs(value) > _FAR * image_side_px for value in polygon)
    return "a polygon far outside the image" if far else ""


def _unreadable(shape: dict[str, Any], image_px: tuple[int, int]) -> str:
    try:
        coco_mask.decode(coco_objects.run_lengths(shape, image_px))
    except (ValueError, RuntimeError, TypeError):  # all that the reader makes of wrong counts
        return "run lengths that do not fill its image"
    return ""


def _oddities(one: dict[str, Any], image_px: tuple[int, int]) -> list[str]:
    """What is odd about a sound object."""
    shape, (x, y, width, height) = one["segmentation"], one["bbox"]
    beyond = max(-x, -y, x + width - image_px[1], y + height - image_px[0])
    has_mask = coco_objects.has_mask(one)
    odd = {
        _NO_MASK: not has_mask,
        _SMALL: isinstance(shape, list) and any(len(polygon) < 6 for polygon in shape),
        _OUTSIDE: beyond > _EDGE_PX,
        _FLAT: width <= 0 or height <= 0,
        _NO_PIXEL: has_mask and not coco_objects.has_pixel(one, image_px),
    }
    return [oddity for oddity, found in odd.items() if found]


def _are_numbers(values: Any) -> bool:
    return isinstance(values, list) and all(
        isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) for value in values
    )
