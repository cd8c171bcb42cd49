"""COCO JSON that is not as it should be: refused in one line, quarantined, or kept as COCO's tools do and counted."""

import io
import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from pycocotools.coco import COCO

from simmim.data import coco_objects
from simmim.data.detection import DetectionSet
from simmim.data.packing import pack
from simmim.data.shards import Shards
from simmim.data.sources.coco import Coco
from simmim.evaluate.detect.coco_score import average_precision, ground_truth

SQUARE = [4, 4, 20, 4, 20, 20, 4, 20]
IMAGE_PX = 24, 32


def picture(mode="RGB", size=IMAGE_PX, kind="JPEG"):
    content = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    Image.fromarray(pixels).convert(mode).save(content, kind)
    return content.getvalue()


def one(number=1, image=1, **changes):
    sound = {"id": number, "image_id": image, "category_id": 7, "iscrowd": 0}
    return sound | {"bbox": [4, 4, 16, 16], "area": 256.0, "segmentation": [SQUARE]} | changes


def listed(number):
    return {"id": number, "file_name": f"{number}.jpg", "height": IMAGE_PX[0], "width": IMAGE_PX[1]}


def written(folder, annotations, numbers=(1, 2), contents=None, **changes):
    """A COCO set of 24 x 32 images with these annotations and whatever else differs; its settings."""
    (folder / "images").mkdir(exist_ok=True, parents=True)
    for number in numbers:
        (folder / f"images/{number}.jpg").write_bytes((contents or {}).get(number, picture()))
    document = {
        "images": [listed(number) for number in numbers],
        "annotations": annotations,
        "categories": [{"id": 7, "name": "square"}],
    } | changes
    (folder / "instances.json").write_text(json.dumps(document))
    return {"images": str(folder / "images"), "annotations": str(folder / "instances.json")}


def packed(folder, *arguments, **changes):
    """The packed set and its incidents as (sample, action, reason)."""
    source = Coco(**written(folder, *arguments, **changes))
    pack(source, folder / "out", codec="original", shard_samples=9, short_side_px=None, max_quarantined_share=0.5)
    rows = pq.read_table(folder / "out/quarantine.parquet").to_pylist()
    return Shards(folder / "out"), [(row["sample_id"], row["action"], row["reason"]) for row in rows]


KEPT = {
    "partly outside": (
        {"segmentation": [[-20, 4, 20, 4, 20, 20, -20, 20]], "bbox": [-20, 4, 40, 16]},
        "1 object reaching outside the image, cut at its edge",
    ),
    "wholly outside": (
        {"segmentation": [[40, 40, 60, 40, 60, 60]], "bbox": [40, 40, 20, 20]},
        "1 object reaching outside the image, cut at its edge; 1 object without a pixel in the image, not trained on",
    ),
    "a polygon of two points": (
        {"segmentation": [SQUARE, [1, 1, 9, 9]]},
        "1 object with a polygon of fewer than three points, which is left out",
    ),
    "an empty box": ({"bbox": [4, 4, 0, 16]}, "1 object with an empty box, not trained on"),
}


@pytest.mark.parametrize("name", KEPT)
def test_what_cocos_tools_tolerate_is_kept_and_counted(name, tmp_path):
    changes, reason = KEPT[name]
    shards, incidents = packed(tmp_path, [one(1, 1, **changes), one(2, 2)])
    assert incidents == [("1.jpg", "converted", reason)]
    settings = {"image_px": 32, "scale_jitter": (1, 1), "flip": 0, "padding": (0.5, 0.5, 0.5)}
    target = DetectionSet(shards, **settings, seed=0, training=True).__getitems__([(0, 0)])["targets"][0]
    trained = "not trained on" not in reason
    assert len(target["boxes"]) == (
        1 if trained or name == "an empty box" else 0
    )  # that image is left out: 2.jpg is shown
    values = {metric: value for metric, detail, value in average_precision(ground_truth(shards), [], "mask")}
    assert values["mask_ap"] == 0


def test_a_polygon_is_cut_as_pycocotools_cuts_it(tmp_path):
    changes, _ = KEPT["partly outside"]
    shards, _ = packed(tmp_path, [one(**changes)])
    theirs = COCO(str(tmp_path / "instances.json"))
    ours = coco_objects.masks(coco_objects.objects(shards.annotation(0)), IMAGE_PX)[0]
    assert (ours == theirs.annToMask(theirs.anns[1])).all() and ours.sum() == 16 * 20


QUARANTINED = {
    "a bbox that is not four numbers: [1, 2, 3]": {"bbox": [1, 2, 3]},
    "a bbox that is not four numbers: [1, 2, 3, nan]": {"bbox": [1, 2, 3, float("nan")]},
    "an area that is not a number: None": {"area": None},
    "a polygon that is not a list of x, y pairs": {"segmentation": [[1, 2, 3, 4, 5, 6, 7]]},
    "a polygon far outside the image": {"segmentation": [[1, 2, 3e9, 4, 5, 6]]},
    "a segmentation that is neither polygons nor run lengths": {"segmentation": "RLE"},
    "run lengths for [9, 9] px, the image is listed with [24, 32] (height, width)": {
        "segmentation": {"size": [9, 9], "counts": [81]}
    },
    "an iscrowd that is neither 0 nor 1: 0": {"iscrowd": "0"},
    "an iscrowd that is neither 0 nor 1: [0]": {"iscrowd": [0]},
    "run lengths that do not fill its image": {"segmentation": {"size": [24, 32], "counts": [5, 20]}},
}


@pytest.mark.parametrize("flaw", QUARANTINED)
def test_objects_that_no_tool_can_read_quarantine_their_image(flaw, tmp_path):
    shards, incidents = packed(tmp_path, [one(5, 1, **QUARANTINED[flaw]), one(6, 2)])
    assert shards.ids == ["2.jpg"]
    assert incidents == [("1.jpg", "quarantined", f"object 5 has {flaw}")]


def test_unusual_images(tmp_path):
    contents = {1: picture("L"), 2: picture("CMYK"), 3: picture(size=(32, 24)), 4: b"", 5: picture()}
    shards, incidents = packed(tmp_path, [one(n, n) for n in range(1, 6)], range(1, 6), contents)
    assert shards.ids == ["1.jpg", "2.jpg", "5.jpg"]
    assert incidents == [
        ("2.jpg", "converted", "mode CMYK converted to RGB"),
        ("3.jpg", "quarantined", "image is (32, 24) px (height, width), its annotation was made for (24, 32)"),
        ("4.jpg", "quarantined", "zero bytes"),
    ]
    settings = {"image_px": 32, "scale_jitter": (1, 1), "flip": 0, "padding": (0.5, 0.5, 0.5)}
    batch = DetectionSet(shards, **settings, seed=0, training=True).__getitems__([(0, 0), (0, 1)])
    assert batch["images"].shape == (2, 3, 32, 32)


def test_crowds_and_images_without_objects_are_nothing_unusual(tmp_path):
    crowd = {"size": [24, 32], "counts": [100, 200, 468]}
    shards, incidents = packed(tmp_path, [one(iscrowd=1, segmentation=crowd), one(2)])
    assert (len(shards), incidents) == (2, [])


REFUSED = {
    r"annotation 3 names image 9, which is not listed": {"annotations": [one(3, 9)]},
    r"annotation 3 names category 8, which is not listed": {"annotations": [one(3, category_id=8)]},
    r"the id 3 comes twice in annotations": {"annotations": [one(3), one(3, 2)]},
    r"the id 1 comes twice in images": {"images": [listed(1), listed(1)]},
    r"images\[1\] lacks height": {"images": [listed(1), {"id": 2, "file_name": "2.jpg", "width": 32}]},
    r"annotations\[0\] lacks bbox": {"annotations": [{k: v for k, v in one().items() if k != "bbox"}]},
    r"annotations\[0\] has the id '3', which is not a whole number": {"annotations": [one("3")]},
    r"lacks annotations": {"annotations": None},
    r"categories 3 and 7 are both called 'square'; give one another name, or take out one that no object names": {
        "categories": [{"id": 7, "name": "square"}, {"id": 3, "name": "square"}]
    },
    r"no object in .* can be trained on or scored": {"annotations": []},
}


FIELDS = {
    "images": {
        "height": [None, 0, -3, 24.5, "24", True, float("nan"), [24], 1e300],
        "width": [None, "32", 0.0, float("inf")],
        "file_name": [None, 7, "", ["1.jpg"], "a\0b.jpg"],
        "id": [None, "1", 1.0, True],
    },
    "annotations": {"image_id": [None, "1", [1]], "category_id": [None, {}, 7.0]},
    "categories": {"name": [None, 7, ""], "id": [None, [7]]},
}
WRONG_VALUES = [
    (kind, name, value) for kind, names in FIELDS.items() for name, values in names.items() for value in values
]


@pytest.mark.parametrize(("kind", "name", "value"), WRONG_VALUES)
def test_a_value_of_another_kind_is_refused_with_its_entry(kind, name, value, tmp_path):
    sound = {"images": listed(2), "annotations": one(2, 2), "categories": {"id": 8, "name": "disc"}}[kind]
    first = {"images": listed(1), "annotations": one(1, 1), "categories": {"id": 7, "name": "square"}}[kind]
    with pytest.raises(ValueError, match=rf"instances.json: {kind}\[1\] has the {name} .*, which is not a ") as refusal:
        packed(tmp_path, **{"annotations": [one()]} | {kind: [first, sound | {name: value}]})
    assert "\n" not in str(refusal.value)


def test_sides_written_with_a_decimal_point_are_whole_numbers(tmp_path):
    images = [listed(n) | {"height": 24.0, "width": 32.0} for n in (1, 2)]
    shards, incidents = packed(tmp_path, [one()], images=images)
    assert len(shards) == 2 and incidents == []


@pytest.mark.parametrize("change", [{"segmentation": []}, {"segmentation": None}, {"segmentation": [[]]}, None])
def test_objects_without_a_mask_are_kept_and_counted_for_detection_to_refuse(change, tmp_path):
    entry = {k: v for k, v in one().items() if k != "segmentation"} if change is None else one(**change)
    shards, incidents = packed(tmp_path, [entry, one(2, 2), one(3, 2)])
    assert len(shards) == 2 and "1 object with a box and no mask, which detection refuses" in incidents[0][2]
    with pytest.raises(ValueError, match=r"1 of 3 objects in .* have a box and no mask"):
        DetectionSet(shards, image_px=32, scale_jitter=(1, 1), flip=0, padding=(0, 0, 0), seed=0, training=True)


def test_an_absent_crowd_mark_means_no_crowd(tmp_path):
    for place, change in enumerate(({"iscrowd": None}, {})):
        entry = {key: value for key, value in one().items() if key != "iscrowd"} | change
        shards, _ = packed(tmp_path / str(place), [entry])
        assert [kept["iscrowd"] for kept in coco_objects.objects(shards.annotation(0))] == [0]


@pytest.mark.parametrize("message", REFUSED)
def test_what_contradicts_itself_is_refused_in_one_line(message, tmp_path):
    with pytest.raises(ValueError, match=message) as refusal:
        shards, _ = packed(tmp_path, **{"annotations": [one()]} | REFUSED[message])
        DetectionSet(shards, image_px=32, scale_jitter=(1, 1), flip=0, padding=(0, 0, 0), seed=0, training=True)
    assert "\n" not in str(refusal.value)
