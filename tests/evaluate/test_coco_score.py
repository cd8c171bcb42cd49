"""AP is that of COCO: ground truth against itself is 1, silent, with classes and empty cases right."""

import json

import numpy as np
import pytest
import torch
from drawn_sets import coco_object, draw, packed, png

from simmim.data import coco_objects
from simmim.data.samples import RawSample
from simmim.evaluate import coco_score
from simmim.evaluate.coco_score import STATISTICS, average_precision, detections, ground_truth


def as_prediction(entries, image_px, score=1.0):
    masks = coco_objects.masks(entries, image_px).astype(bool)
    return {
        "boxes": torch.from_numpy(coco_objects.boxes_around(masks)),
        "labels": torch.tensor([entry["category_id"] for entry in entries]),
        "scores": torch.full((len(entries),), score),
        "masks": torch.from_numpy(masks),
    }


def truth_as_detections(shards):
    found = []
    for index in range(len(shards)):
        entries = [entry for entry in coco_objects.objects(shards.annotation(index)) if not entry["iscrowd"]]
        found += detections(index, as_prediction(entries, tuple(shards.sizes[index])))
    return found


@pytest.mark.parametrize("kind", ["box", "mask"])
def test_ground_truth_against_itself_is_1(kind, detection_shards, capsys):
    rows = average_precision(ground_truth(detection_shards), truth_as_detections(detection_shards), kind)
    values = {(metric, detail): value for metric, detail, value in rows}
    assert [metric for metric, detail, _ in rows if not detail] == [f"{kind}_{name}" for name in STATISTICS]
    for name in ("ap", "ap50", "ap75", "ap_small", "ar100"):
        assert values[f"{kind}_{name}", ""] == pytest.approx(1)
    assert values[f"{kind}_ap", "disc"] == values[f"{kind}_ap", "bar"] == pytest.approx(1)
    assert np.isnan(values[f"{kind}_ap_large", ""])  # there is no large object
    assert capsys.readouterr().out == ""


def test_no_detections_is_0(detection_shards):
    rows = average_precision(ground_truth(detection_shards), [], "mask")
    assert rows[0] == ("mask_ap", "", 0.0)


def test_a_missed_class_and_a_false_alarm_lower_only_their_class(detection_shards):
    found = [entry for entry in truth_as_detections(detection_shards) if entry["category_id"] == 1]
    values = {detail: value for metric, detail, value in average_precision(ground_truth(detection_shards), found, "box")
              if metric == "box_ap"}  # fmt: skip
    assert values["disc"] == pytest.approx(1) and values["bar"] == 0 and values[""] == pytest.approx(0.5)


def test_crowd_regions_neither_help_nor_harm(tmp_path):
    image, [(_, disc), (_, bar)] = draw(5)
    entries = [coco_object(0, 1, disc), coco_object(1, 2, bar, crowd=1)]
    shards = packed(tmp_path, [RawSample("a.png", png(image), annotation=json.dumps(entries).encode())])
    found = detections(0, as_prediction(entries, (64, 64)))
    rows = average_precision(ground_truth(shards), found, "mask")
    assert rows[0][2] == pytest.approx(1)
    assert np.isnan(rows[-1][2])  # the class has a crowd region only


def test_mask_results_are_sized_by_their_mask_not_their_box(detection_shards):
    """With a box beside it, pycocotools takes the box's area: a thin diagonal then counts as a large object."""
    found = truth_as_detections(detection_shards)
    results = coco_score._results(ground_truth(detection_shards), found, "mask")
    areas = [entry["area"] for entry in ground_truth(detection_shards).dataset["annotations"]]
    assert [entry["area"] for entry in results.dataset["annotations"]] == areas
