"""AP is that of COCO: what pycocotools computes, 1 for ground truth against itself, silent, right in empty cases."""

import json

import numpy as np
import pytest
import torch
from drawn_sets import CLASSES, coco_object, draw, packed, png
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from simmim.data import coco_objects
from simmim.data.samples import RawSample
from simmim.evaluate.detect import coco_score
from simmim.evaluate.detect.coco_score import STATISTICS, average_precision, detections, ground_truth


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


@pytest.fixture(scope="module")
def awkward_shards(tmp_path_factory):
    """Small, medium and large objects as run lengths and polygons, a crowd region, and an image without objects."""
    samples = []
    for seed in range(5):
        image, objects = draw(seed, 160, 200)
        entries = [coco_object(2 * seed + place, *each) for place, each in enumerate(objects)]
        square, side = np.zeros((160, 200), dtype=bool), 20 + 30 * seed
        square[:side, :side] = True
        entries.append(coco_object(100 + seed, 1, square, crowd=int(seed == 2)))
        entries[-1] |= {} if seed == 2 else {"segmentation": [[0, 0, side, 0, side, side, 0, side]]}
        samples.append(
            RawSample(f"{seed}.png", png(image), annotation=json.dumps(entries if seed < 4 else []).encode())
        )
    return packed(tmp_path_factory.mktemp("awkward"), samples)


def guesses(shards):
    """The objects out of place by up to 6 pixels, with right and wrong classes and equal scores; 110 in one image."""
    random, found = np.random.default_rng(0), []
    for index in range(len(shards)):
        entries = coco_objects.objects(shards.annotation(index)) or coco_objects.objects(shards.annotation(0))
        for _ in range(37 if index == 1 else 3):
            masks = np.roll(coco_objects.masks(entries, (160, 200)), random.integers(-6, 7, 2), axis=(1, 2)).astype(
                bool
            )
            prediction = {
                "boxes": torch.from_numpy(coco_objects.boxes_around(masks)),
                "labels": torch.from_numpy(random.choice([entry["category_id"] for entry in entries], len(entries))),
                "scores": torch.from_numpy(random.integers(1, 20, len(entries)) / 20),
                "masks": torch.from_numpy(masks),
            }
            found += detections(index, prediction)
    return found


def by_pycocotools(shards, found, kind):
    """The twelve numbers, and every class's, straight from the packed objects."""
    truth = COCO()
    truth.dataset = {
        "images": [
            {"id": index, "height": height, "width": width} for index, (height, width) in enumerate(shards.sizes)
        ],
        "categories": [{"id": number, "name": name} for number, name in enumerate(CLASSES, start=1)],
        "annotations": [
            entry | {"image_id": index, "id": 1000 + entry["id"]}
            for index in range(len(shards))
            for entry in coco_objects.objects(shards.annotation(index))
        ],
    }
    truth.createIndex()
    results = [entry | {"bbox": list(entry["bbox"])} for entry in found]
    if kind == "mask":
        results = [{key: value for key, value in entry.items() if key != "bbox"} for entry in results]
    evaluation = COCOeval(truth, truth.loadRes(results), {"box": "bbox", "mask": "segm"}[kind])
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    classes = evaluation.eval["precision"][..., 0, -1].mean(axis=(0, 1))
    return [*evaluation.stats, *classes]


@pytest.mark.parametrize("choice", [slice(None), slice(1)], ids=["all", "one"])
def test_every_number_is_that_of_pycocotools(choice, awkward_shards, capsys):
    found, truth = guesses(awkward_shards)[choice], ground_truth(awkward_shards)
    for kind in ("box", "mask"):
        expected = by_pycocotools(awkward_shards, found, kind)
        capsys.readouterr()
        got = [value for *_, value in average_precision(truth, found, kind)]
        assert len(got) == 12 + 2 and capsys.readouterr().out == ""
        if choice == slice(None):
            assert len({round(value, 3) for value in expected}) > 8  # neither all 0 nor all 1
        assert got == pytest.approx([value if value > -1 else np.nan for value in expected], abs=1e-6, nan_ok=True)


@pytest.mark.parametrize("kind", ["box", "mask"])
def test_no_detections_at_all(kind, awkward_shards):
    rows = average_precision(ground_truth(awkward_shards), [], kind)
    assert [value for *_, value in rows] == [0.0] * 14


def test_no_detections_is_0(detection_shards):
    rows = average_precision(ground_truth(detection_shards), [], "mask")
    assert rows[0] == ("mask_ap", "", 0.0)


def test_a_missed_class_and_a_false_alarm_lower_only_their_class(detection_shards):
    found = [entry for entry in truth_as_detections(detection_shards) if entry["category_id"] == 1]
    values = {
        detail: value
        for metric, detail, value in average_precision(ground_truth(detection_shards), found, "box")
        if metric == "box_ap"
    }
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
    """With a box beside it, COCO's tools take the box's area: a thin diagonal then counts as a large object."""
    found = truth_as_detections(detection_shards)
    results = coco_score._results(ground_truth(detection_shards), found, "mask")
    areas = [entry["area"] for entry in ground_truth(detection_shards).dataset["annotations"]]
    assert [entry["area"] for entry in results.dataset["annotations"]] == areas
