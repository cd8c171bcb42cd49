"""Box and mask average precision as COCO defines it, against the objects of a packed set.

faster-coco-eval computes what pycocotools computes, bit for bit (a test compares them), several times as fast.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster
from faster_coco_eval.core import mask as coco_mask
from torch import Tensor

from simmim.data import coco_objects
from simmim.data.shards import Shards

Row = tuple[str, str, float]
STATISTICS = (
    "ap",
    "ap50",
    "ap75",
    "ap_small",
    "ap_medium",
    "ap_large",
    "ar1",
    "ar10",
    "ar100",
    "ar_small",
    "ar_medium",
    "ar_large",
)


def ground_truth(shards: Shards) -> COCO:
    """Every object of a packed set, crowd regions too; the image id is the index in the shards.

    Objects are numbered anew from 1: COCO's tools take a match with object 0 for no match.
    """
    annotations, sizes = [], [tuple(size) for size in shards.sizes.tolist()]
    for index, image_px in enumerate(sizes):
        for entry in coco_objects.objects(shards.annotation(index)):
            kept = {key: entry[key] for key in ("bbox", "category_id", "area")} | {"iscrowd": entry.get("iscrowd", 0)}
            lengths = coco_objects.run_lengths(entry["segmentation"], image_px)
            annotations.append({"id": len(annotations) + 1, "image_id": index, "segmentation": lengths} | kept)
    return COCO(
        {
            "images": [{"id": index, "height": height, "width": width} for index, (height, width) in enumerate(sizes)],
            "categories": [{"id": number, "name": name} for number, name in enumerate(shards.classes, start=1)],
            "annotations": annotations,
        }
    )


def detections(image_id: int, prediction: Mapping[str, Tensor]) -> list[dict[str, Any]]:
    """One image's `boxes` [n, 4] (x1, y1, x2, y2), `labels`, `scores` and `masks` bool [n, h, w] as COCO results."""
    boxes = prediction["boxes"].double().numpy()
    boxes[:, 2:] -= boxes[:, :2]
    masks = prediction["masks"].numpy().transpose(1, 2, 0).astype(np.uint8)  # [h, w, n]
    columns = zip(boxes.tolist(), prediction["labels"].tolist(), prediction["scores"].tolist(), coco_mask.encode(masks))
    return [
        {"image_id": image_id, "bbox": box, "category_id": label, "score": score, "segmentation": lengths}
        for box, label, score, lengths in columns
    ]


def average_precision(truth: COCO, found: Sequence[Mapping[str, Any]], kind: Literal["box", "mask"]) -> list[Row]:
    """The twelve COCO numbers, and the average precision of every class.

    Args:
        truth: from `ground_truth`.
        found: from `detections`, of all images; may be empty.

    Returns:
        (metric, class or "", value in 0 to 1), NaN where the truth has no such object.
    """
    evaluation = COCOeval_faster(truth, _results(truth, found, kind), {"box": "bbox", "mask": "segm"}[kind])
    evaluation.run()
    rows = [(f"{kind}_{name}", "", _defined(value)) for name, value in zip(STATISTICS, evaluation.stats)]
    precision = evaluation.eval["precision"][..., 0, -1]  # [overlaps, recalls, classes]: all areas, 100 detections
    for index, category in enumerate(evaluation.params.catIds):
        rows.append((f"{kind}_ap", truth.cats[category]["name"], _defined(precision[..., index].mean())))
    return rows


def _results(truth: COCO, found: Sequence[Mapping[str, Any]], kind: str) -> COCO:
    """Results of one kind; those of masks go without a box, whose area would else stand for the mask's."""
    unwanted = {"box": "segmentation", "mask": "bbox"}[kind]
    kept = [{key: copy.copy(value) for key, value in entry.items() if key != unwanted} for entry in found]
    return truth.loadRes(kept)


def _defined(value: float) -> float:
    return float(value) if value > -1 else float("nan")
