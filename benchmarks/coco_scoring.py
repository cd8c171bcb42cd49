"""Average precision of COCO: detections scored in a CPU second, beside pycocotools on the same made-up detections.

    python benchmarks/coco_scoring.py [--images 400] [--turns 3]

Boxes and masks (ellipses) of ten objects an image in 80 classes, and twenty detections an image, half of them near one.
Both give the same numbers; a test compares them.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import io
from collections.abc import Iterator
from typing import Any

import numpy as np
from faster_coco_eval import COCO
from measure import Measured, Way, compare, table
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO as PeerCOCO
from pycocotools.cocoeval import COCOeval

from simmim.evaluate.detect.coco_score import average_precision

SIDE, CLASSES, OBJECTS, DETECTIONS = 480, 80, 10, 20
_ROWS, _COLUMNS = np.mgrid[:SIDE, :SIDE]


def ellipse(box: np.ndarray) -> dict[str, Any]:
    """Run lengths of the ellipse in a box (x, y, width, height)."""
    x, y, width, height = box
    inside = ((_COLUMNS - x - width / 2) / (width / 2)) ** 2 + ((_ROWS - y - height / 2) / (height / 2)) ** 2 < 1
    lengths = coco_mask.encode(np.asfortranarray(inside.astype(np.uint8)))
    return lengths | {"counts": lengths["counts"].decode()}


def made_up(images: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A ground truth and detections as COCO's files have them."""
    random, truth, found = np.random.default_rng(0), [], []
    for image in range(images):
        boxes = np.concatenate([random.uniform(0, 300, (OBJECTS, 2)), random.uniform(20, 160, (OBJECTS, 2))], axis=1)
        classes = random.integers(1, CLASSES + 1, OBJECTS)
        for box, label in zip(boxes, classes):
            entry = {"id": len(truth) + 1, "image_id": image, "category_id": int(label), "iscrowd": 0}
            truth.append(entry | {"bbox": box.tolist(), "area": float(box[2] * box[3]), "segmentation": ellipse(box)})
        for number in range(DETECTIONS):
            near = number < DETECTIONS // 2
            box = boxes[number % OBJECTS] + random.uniform(-8, 8, 4) if near else random.uniform(20, 200, 4)
            label = classes[number % OBJECTS] if near else random.integers(1, CLASSES + 1)
            entry = {"image_id": image, "category_id": int(label), "score": float(random.random())}
            found.append(entry | {"bbox": box.tolist(), "segmentation": ellipse(box)})
    pictures = [{"id": image, "height": SIDE, "width": SIDE} for image in range(images)]
    categories = [{"id": label, "name": str(label)} for label in range(1, CLASSES + 1)]
    return {"images": pictures, "categories": categories, "annotations": truth}, found


def peer(truth: PeerCOCO, found: list[dict[str, Any]], kind: str) -> Way:
    """What evaluation scripts do with pycocotools."""

    def run() -> int:
        with contextlib.redirect_stdout(io.StringIO()):
            evaluation = COCOeval(truth, truth.loadRes(copy.deepcopy(found)), kind)
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        return len(found)

    return run


def measured(images: int, turns: int) -> Iterator[Measured]:
    """Rows for boxes and masks."""
    content, found = made_up(images)
    with contextlib.redirect_stdout(io.StringIO()):
        theirs = PeerCOCO()
        theirs.dataset = copy.deepcopy(content)
        theirs.createIndex()
    mine = COCO(content)
    for kind, name in (("box", "bbox"), ("mask", "segm")):

        def ours(kind: str = kind) -> int:
            average_precision(mine, found, kind)
            return len(found)

        yield from compare(f"COCO's {kind} AP", {"pycocotools": peer(theirs, found, name), "ours": ours}, turns)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()
    print(table(list(measured(options.images, options.turns))))


if __name__ == "__main__":
    main()
