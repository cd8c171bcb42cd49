"""Objects of one image as COCO writes them (polygons, or run lengths, plain or compressed) and their masks."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from faster_coco_eval.core import mask as coco_mask


def objects(annotation: bytes | None) -> list[dict[str, Any]]:
    """The objects of a sample's annotation; none where it has none."""
    return json.loads(annotation) if annotation else []


def is_trainable(entry: dict[str, Any]) -> bool:
    """Whether an object takes part in training: a crowd region or an empty box does not."""
    return not entry.get("iscrowd", 0) and entry["bbox"][2] > 0 and entry["bbox"][3] > 0


def has_mask(entry: dict[str, Any]) -> bool:
    """Whether an object comes with an outline or run lengths; one outside the image has a mask without a pixel."""
    shape = entry.get("segmentation")
    return any(len(polygon) >= 6 for polygon in shape) if isinstance(shape, list) else bool(shape)


def has_pixel(entry: dict[str, Any], image_px: tuple[int, int]) -> bool:
    """Whether an object's mask shows in its image of height and width `image_px`."""
    return bool(coco_mask.area(run_lengths(entry["segmentation"], image_px)))


def fit_of_box(entry: dict[str, Any], image_px: tuple[int, int]) -> float:
    """Intersection over union of an object's box and the one round its mask, which has a pixel."""
    around = coco_mask.toBbox(run_lengths(entry["segmentation"], image_px))
    return float(coco_mask.iou(around[None], np.array([entry["bbox"]], np.float64), [0])[0, 0])


def run_lengths(segmentation: list | dict, image_px: tuple[int, int]) -> dict[str, Any]:
    """Any segmentation as compressed run lengths of one mask of height and width `image_px`.

    Polygons of fewer than three points are left out: COCO's tools would take four numbers for a box.
    """
    if isinstance(segmentation, list):
        polygons = [polygon for polygon in segmentation if len(polygon) >= 6]
        return coco_mask.merge(coco_mask.frPyObjects(polygons, *image_px)) if polygons else _nothing(image_px)
    if isinstance(segmentation["counts"], list):
        return coco_mask.frPyObjects(segmentation, *image_px)
    return segmentation


def masks(entries: list[dict[str, Any]], image_px: tuple[int, int]) -> np.ndarray:
    """Masks of n objects, uint8 [n, h, w] of 0 and 1."""
    if not entries:
        return np.zeros((0, *image_px), dtype=np.uint8)
    lengths = [run_lengths(entry["segmentation"], image_px) for entry in entries]
    return np.ascontiguousarray(coco_mask.decode(lengths).transpose(2, 0, 1))


def boxes_around(instance_masks: np.ndarray) -> np.ndarray:
    """Tight boxes (x1, y1, x2, y2) round non-empty masks [n, h, w], float32 [n, 4]; right and bottom are exclusive."""
    columns, rows = instance_masks.any(1), instance_masks.any(2)  # [n, w], [n, h]
    x1, y1 = columns.argmax(1), rows.argmax(1)
    x2, y2 = columns.shape[1] - columns[:, ::-1].argmax(1), rows.shape[1] - rows[:, ::-1].argmax(1)
    return np.stack([x1, y1, x2, y2], axis=1).astype(np.float32)


def _nothing(image_px: tuple[int, int]) -> dict[str, Any]:
    return coco_mask.encode(np.zeros(image_px, dtype=np.uint8))
