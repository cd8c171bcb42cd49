"""Sets that a task cannot use are refused in one line, before anything is trained and again before scoring."""

import io
import json

import numpy as np
import pytest
from PIL import Image
from source_files import label_map, png

from simmim import plugin
from simmim.data.classification import few_labels
from simmim.data.detection import DetectionSet
from simmim.data.packing import pack
from simmim.data.requirements import require_labels, require_masks, require_same_classes, require_two_classes
from simmim.data.samples import RawSample
from simmim.data.shards import Shards
from simmim.plugin import names, task_settings

SQUARE = [[1, 1, 5, 1, 5, 5, 1, 5]]


class Made:
    def __init__(self, samples, classes):
        self._samples, self._classes = samples, classes

    def samples(self):
        return iter(self._samples)

    def classes(self):
        return self._classes

    def fingerprint(self):
        return ""


def packed(folder, samples, classes=("cat", "dog")):
    pack(Made(samples, list(classes)), folder, codec="original", shard_samples=50, short_side_px=None)
    return Shards(folder)


def labelled(folder, labels, classes=("cat", "dog")):
    return packed(folder, [RawSample(f"{n}.png", png(n), label) for n, label in enumerate(labels)], classes)


def with_objects(folder, *images):
    """A set whose images hold these segmentations, or whole changes of an object."""
    samples, number = [], 0
    for n, shapes in enumerate(images):
        objects = []
        for shape in shapes:
            number += 1
            change = shape if isinstance(shape, dict) and "size" not in shape else {"segmentation": shape}
            objects.append({"id": number, "category_id": 1, "bbox": [1, 1, 4, 4], "area": 16, "iscrowd": 0} | change)
        samples.append(RawSample(f"{n}.png", png(n), None, json.dumps(objects).encode(), (8, 6)))
    return packed(folder, samples)


UNLABELLED = {"all": ([None] * 4, "4 of 4"), "one": ([0, 1, None, 0], "1 of 4"), "the last": ([0, 1, None], "1 of 3")}
SETTINGS = {task: task_settings(task) for task in names("evaluate")}
CLASSIFYING = [task for task, each in SETTINGS.items() if each.is_score and not each.is_dense]


@pytest.mark.parametrize("name", UNLABELLED)
def test_unlabelled_images_are_never_trained_on_or_scored(name, tmp_path):
    labels, counted = UNLABELLED[name]
    shards = labelled(tmp_path, labels)
    for refuse in (require_labels, lambda shards: few_labels(shards, None, 0), lambda shards: few_labels(shards, 1, 0)):
        with pytest.raises(ValueError, match=f"^{counted} images in {tmp_path} have no label.*pack again$"):
            refuse(shards)
    require_labels(labelled(tmp_path / "whole", [0, 1, 1]))


@pytest.mark.parametrize("task", CLASSIFYING)
def test_every_task_that_classifies_refuses_unlabelled_images(task, tmp_path):
    with pytest.raises(ValueError, match="1 of 3 images"):
        plugin.task(task).check_set(labelled(tmp_path, [0, None, 1]))


def test_detection_refuses_objects_without_masks(tmp_path):
    with pytest.raises(ValueError, match="1 of 2 objects"):
        plugin.task("detect").check_set(with_objects(tmp_path, [SQUARE], [[]]))


NO_MASK = {
    "an empty list": [],
    "an empty polygon": [[]],
    "null": None,
    "two points": [[1, 1, 5, 5]],
    "nothing": {"segmentation": [], "area": 0},
}


def detection(shards, training=True):
    settings = {"image_px": 8, "scale_jitter": (1, 1), "flip": 0, "padding": (0, 0, 0)}
    return DetectionSet(shards, **settings, seed=0, training=training)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", NO_MASK)
def test_objects_without_a_mask_are_counted_and_refused(name, training, tmp_path):
    shards = with_objects(tmp_path, [SQUARE, NO_MASK[name]], [SQUARE], [NO_MASK[name]])
    with pytest.raises(ValueError, match=f"^2 of 4 objects in {tmp_path} have a box and no mask.*pack again$"):
        detection(shards, training)


def test_crowds_empty_boxes_and_single_masks_out_of_sight_are_as_coco_has_them(tmp_path):
    crowd, flat = {"segmentation": [], "iscrowd": 1}, {"segmentation": [], "bbox": [1, 1, 0, 4]}
    outside = [[20, 20, 30, 20, 30, 30]]
    shards = with_objects(tmp_path, [SQUARE, crowd, flat, outside])
    require_masks(shards)
    assert len(detection(shards).__getitems__([(0, 0)])["targets"][0]["boxes"]) == 1


@pytest.mark.parametrize("shape", [[[20, 20, 30, 20, 30, 30]], {"size": [8, 6], "counts": [48]}])
def test_a_set_whose_masks_all_lie_out_of_sight_is_refused(shape, tmp_path):
    with pytest.raises(ValueError, match=f"no object in {tmp_path} has a pixel in its image"):
        detection(with_objects(tmp_path, [shape], [shape]))


def test_a_set_without_an_object_is_refused(tmp_path):
    """Its average precision would be no number."""
    crowd, flat = {"segmentation": [], "iscrowd": 1}, {"segmentation": [], "bbox": [1, 1, 0, 4]}
    for name, objects in {"none": [], "crowd": [crowd], "flat": [flat]}.items():
        with pytest.raises(ValueError, match=f"^no object in {tmp_path / name} can be trained on or scored"):
            detection(with_objects(tmp_path / name, objects, []), training=False)


def with_maps(folder):
    maps = [label_map(np.arange(48).reshape(8, 6) % 3) for _ in range(2)]
    return packed(folder, [RawSample(f"{n}.png", png(n), None, each, (8, 6)) for n, each in enumerate(maps)])


def test_dense_tasks_refuse_sets_of_another_kind(tmp_path):
    maps, objects = with_maps(tmp_path / "maps"), with_objects(tmp_path / "objects", [SQUARE])
    plain = labelled(tmp_path / "plain", [0, 1])
    for shards in (objects, plain):
        for refuse in (plugin.task("segment").check_set, require_two_classes):
            said = f"^{shards.folder} has no label maps, which segmentation learns from; pack a set of source ade20k$"
            with pytest.raises(ValueError, match=said):
                refuse(shards)
    for shards in (maps, plain):
        said = f"^{shards.folder} has no objects with masks, which detection learns from; pack a set of source coco$"
        with pytest.raises(ValueError, match=said):
            require_masks(shards)
    plugin.task("segment").check_set(maps)
    require_two_classes(maps)
    plugin.task("detect").check_set(objects)


WIDE = [[0, 3, 6, 3, 6, 5, 0, 5]]


@pytest.mark.parametrize(
    "wrong",
    [
        {"bbox": [2, 2, 6, 5], "segmentation": [[2, 2, 6, 2, 6, 5, 2, 5]]},
        {"bbox": [0.1, 0.1, 0.5, 0.5], "segmentation": SQUARE},
        {"bbox": [3, 0, 2, 6], "segmentation": WIDE},
    ],
    ids=["corners", "shares of the image", "rows before columns"],
)
def test_boxes_that_are_not_round_their_masks_are_refused(wrong, tmp_path):
    """They would be scored against, whatever the masks teach."""
    with pytest.raises(ValueError, match=f"^2 of 3 objects in {tmp_path} have a box elsewhere than their mask: bbox"):
        detection(with_objects(tmp_path, [wrong, SQUARE], [wrong]))
    require_masks(with_objects(tmp_path / "half", [wrong, SQUARE], [wrong, SQUARE]))


def test_classes_that_a_set_lacks_are_named(tmp_path):
    train = labelled(tmp_path / "train", [0, 1, 2], ["cat", "dog", "owl"])
    same = labelled(tmp_path / "same", [0, 1], ["cat", "dog", "owl"])
    require_same_classes(train, [same])
    fewer = labelled(tmp_path / "val", [0, 1], ["cat", "owl"])
    with pytest.raises(ValueError, match=f"{fewer.folder} lacks dog; pack both with one list of classes"):
        require_same_classes(train, [same, fewer])
    others = labelled(tmp_path / "other", [0, 1], ["cat", "eel"])
    with pytest.raises(ValueError, match=f"{train.folder} lacks eel and {others.folder} lacks dog, owl;"):
        require_same_classes(train, [others])
    turned = labelled(tmp_path / "turned", [0], ["dog", "cat", "owl"])
    with pytest.raises(ValueError, match="different classes: their order differs;"):
        require_same_classes(train, [turned])
    many = labelled(tmp_path / "many", [0], [f"n{n:02}" for n in range(20)])
    with pytest.raises(ValueError, match=r"lacks n00, n01, n02, n03, n04, n05, n06, n07 and 12 more and"):
        require_same_classes(train, [many])


def test_packing_says_which_classes_have_no_image(tmp_path, capsys):
    labelled(tmp_path / "a", [0, 0, 2], ["cat", "dog", "owl", "eel"])
    assert capsys.readouterr().out == f"{tmp_path / 'a'}: no image of 2 of 4 classes: dog, eel\n"
    labelled(tmp_path / "b", [0, None, 1, None])
    assert capsys.readouterr().out == f"{tmp_path / 'b'}: 2 of 4 images have no label\n"
    labelled(tmp_path / "c", [0, 1])
    labelled(tmp_path / "d", [None], [])
    with_objects(tmp_path / "e", [SQUARE])
    assert capsys.readouterr().out == ""
    labelled(tmp_path / "f", [0], [str(n) for n in range(20)])
    assert "19 of 20 classes: 1, 2, 3, 4, 5, 6, 7, 8 and 11 more\n" in capsys.readouterr().out


def test_packing_says_which_classes_have_no_pixel(tmp_path, capsys):
    """Label maps that count from 0 lack the last class, and their first one would be ignored without a word."""
    names, hint = ["sea", "lake", "wood"], "0 is a pixel without a class, 1 the first class; if your maps count from 0"
    for values, absent in {
        (0, 1, 2): "wood",
        (1, 2): "wood",
        (0, 1, 3): "lake",
        (0, 1, 2, 3): "",
        (3, 2, 1): "",
    }.items():
        folder, maps = tmp_path / "".join(map(str, values)), [label_map(np.resize(values, (8, 6))) for _ in range(2)]
        packed(folder, [RawSample(f"{n}.png", png(n), None, each, (8, 6)) for n, each in enumerate(maps)], names)
        said = capsys.readouterr().out
        assert said.startswith(f"{folder}: no pixel of 1 of 3 classes: {absent}\n" if absent else "")
        assert (hint in said) == (values == (0, 1, 2)) and bool(said) == bool(absent)


def test_packing_says_what_it_leaves_out(tmp_path, capsys):
    contents = {"0.png": png(), "1.heic": b"heic", "2.png": b"", "3.gif": png()}
    samples = [RawSample(name, content) for name, content in contents.items()]
    pack(Made(samples, []), tmp_path, codec="png", shard_samples=9, short_side_px=None, max_quarantined_share=0.5)
    said = capsys.readouterr().out
    assert said.startswith(f"{tmp_path}: 2 of 4 samples are left out (quarantine.parquet lists them); the first ")
    assert "is '1.heic': not an image in any of the formats JPEG" in said and said.count("\n") == 2
    assert said.endswith(f"{tmp_path}: 1 of 2 images were changed (quarantine.parquet lists them): PNG named .gif\n")


def grey_of_12_bits():
    """As scanners and X-ray machines write them: dark once the lower byte is gone."""
    content = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 4096, (8, 6), np.uint16)).save(content, "PNG")
    return content.getvalue()


def test_packing_says_what_it_changes(tmp_path, capsys):
    packed(tmp_path / "a", [RawSample(f"{n}.png", grey_of_12_bits()) for n in range(3)])
    advice = "to keep 16 bits set pack.bits=16 and pack.bands=1 (grey) or 3 (colour) in datasets.tsv, or give .npy"
    changed = "images were changed (quarantine.parquet lists them): 16 bits per channel reduced to 8"
    assert f"{tmp_path / 'a'}: 3 of 3 {changed}; {advice} files\n" in capsys.readouterr().out
    objects = json.dumps([{"id": 1, "category_id": 1, "bbox": [1, 1, 4, 4], "area": 16, "iscrowd": 0}]).encode()
    odd = [RawSample(f"{n}.png", content, None, objects, (8, 6), notes="1 object with a flaw; 2 objects with another")
           for n, content in enumerate((png(0), grey_of_12_bits(), png(1, mode="P"), png(2, mode="P")))]  # fmt: skip
    packed(tmp_path / "b", odd)
    kinds = "mode P converted to RGB (2), 16 bits per channel reduced to 8 (1)"
    said = capsys.readouterr().out
    assert said == f"{tmp_path / 'b'}: 3 of 4 images were changed (quarantine.parquet lists them): {kinds}\n"


def test_a_few_labels_are_so_many_of_every_class(tmp_path):
    shards = labelled(tmp_path, [n % 2 for n in range(40)])
    chosen = few_labels(shards, 5, seed=3)
    assert np.bincount(shards.labels[chosen]).tolist() == [5, 5] and (np.diff(chosen) > 0).all()
    assert few_labels(shards, 5, seed=4).tolist() != chosen.tolist() == few_labels(shards, 5, seed=3).tolist()
    assert few_labels(shards, None, seed=3).tolist() == list(range(40))
    with pytest.raises(ValueError, match=r"class 'cat' of .* has 20 images, labels_per_class=21"):
        few_labels(shards, 21, seed=3)


@pytest.mark.parametrize(
    ("values", "which"),
    [((0, 1), "of class 'cat' or of none"), ((1,), "of class 'cat' or of none"), ((0,), "of no class")],
)
def test_label_maps_of_one_class_are_refused(tmp_path, values, which):
    """So are those that count from 0, where the first class is taken for pixels without one."""
    maps = [label_map(np.resize(values, (8, 6))) for _ in range(3)]
    shards = packed(tmp_path, [RawSample(f"{n}.png", png(n), None, each, (8, 6)) for n, each in enumerate(maps)])
    with pytest.raises(ValueError, match=f"every pixel in .* is {which}, .*if yours count from 0, add 1 to all"):
        require_two_classes(shards)
    both = [*maps, label_map(np.resize((1, 2), (8, 6)))]
    require_two_classes(
        packed(tmp_path / "both", [RawSample(f"{n}.png", png(n), None, each, (8, 6)) for n, each in enumerate(both)])
    )
