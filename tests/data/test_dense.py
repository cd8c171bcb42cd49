"""Augmented views: pixels, label maps, masks and boxes move together, whatever else is in the batch."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from simmim.data.detection import DetectionSet
from simmim.data.segmentation import SegmentationSet, largest_share

GREY = (0.5, 0.5, 0.5)
RED, GROUND = (250, 0, 0), (0, 0, 90)
BLOB = (slice(10, 30), slice(40, 52))  # rows 10 to 29, columns 40 to 51 of 48 x 64
POLYGON = [40, 10, 52, 10, 52, 30, 40, 30]


class Memory:
    """Packed set of made-up samples, held in memory."""

    folder = Path("made-up")
    classes = ("blob", "ground")
    bands = None

    def __init__(self, samples):
        self._samples = samples
        self.ids = [str(index) for index in range(len(samples))]
        self.sizes = np.array([[48, 64]] * len(samples))

    def __len__(self):
        return len(self._samples)

    def sample(self, index):
        return self._samples[index]

    def annotation(self, index):
        return self._samples[index][1]


def png(pixels):
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, "PNG")
    return encoded.getvalue()


def picture():
    image = np.empty((48, 64, 3), dtype=np.uint8)
    image[:], image[BLOB] = GROUND, RED
    return png(image)


def entry(category=1, crowd=0, segmentation=None, box=(40, 10, 12, 20)):
    return {"category_id": category, "iscrowd": crowd, "bbox": list(box), "segmentation": segmentation or [POLYGON]}


def objects(*entries):
    return json.dumps(entries).encode()


def labels():
    stored = np.full((48, 64), 2, dtype=np.uint8)
    stored[BLOB] = 1
    return png(stored)


def detection(samples, training=True, scale_jitter=(0.5, 2.0), seed=3):
    settings = {"image_px": 64, "scale_jitter": scale_jitter, "flip": 0.5, "padding": GREY}
    return DetectionSet(Memory(samples), **settings, seed=seed, training=training)


def segmentation(samples, training=True, **changes):
    settings = {
        "image_px": 48,
        "scale_range": (0.5, 2.0),
        "long_side_limit": 4,
        "flip": 0.5,
        "max_class_share": 1,
        "distort_colours": False,
        "padding": GREY,
    }
    return SegmentationSet(Memory(samples), **{"seed": 3} | settings | changes, training=training)


def is_red(images):
    return (images[..., 0, :, :] > 125) & (images[..., 2, :, :] < 60)


def test_masks_and_boxes_follow_the_pixels():
    images = detection([(picture(), objects(entry()))])
    batch = images.__getitems__([(epoch, 0) for epoch in range(40)])
    areas = set()
    for image, target in zip(batch["images"], batch["targets"]):
        red, mask = is_red(image), target["masks"].any(0)
        areas.add(int(red.sum()))
        outline = 2 * (red.any(0).sum() + red.any(1).sum()) + 4
        assert (red ^ mask).sum() <= outline / 2  # half a pixel along the outline
        for box, own in zip(target["boxes"], target["masks"]):
            rows, columns = np.nonzero(own.numpy())
            assert box.tolist() == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert target["labels"].tolist() == [1] * len(target["boxes"])
    assert len(areas) > 20  # the scale does vary
    assert min(areas) < 100 and max(areas) > 500


def test_both_sides_are_shown_under_mirroring():
    images = detection([(picture(), objects(entry()))], scale_jitter=(1, 1))
    batch = images.__getitems__([(epoch, 0) for epoch in range(40)])
    boxes = {tuple(target["boxes"][0].tolist()) for target in batch["targets"]}
    assert boxes == {(40, 10, 52, 30), (12, 10, 24, 30)}


def test_flip_is_the_probability_of_mirroring():
    fixed = {"scale_range": (1, 1), "long_side_limit": 1.0}
    pixels = np.random.default_rng(0).integers(0, 256, (48, 48, 3), dtype=np.uint8)
    square = [(png(pixels), png(np.eye(48, dtype=np.uint8)))]
    keys = [(epoch, 0) for epoch in range(200)]
    plain, always = (segmentation(square, flip=flip, **fixed).__getitems__(keys) for flip in (0.0, 1.0))
    assert (plain["images"].permute(0, 2, 3, 1).numpy() == pixels).all()
    assert torch.equal(plain["images"].flip(3), always["images"])
    assert torch.equal(plain["labels"].flip(2), always["labels"])
    some = segmentation(square, flip=0.2, **fixed).__getitems__(keys)["images"]
    assert 15 <= (some != plain["images"]).flatten(1).any(1).sum() <= 70  # 40 on average, deviation below 6


def test_label_maps_follow_the_pixels():
    images = segmentation([(picture(), labels())])
    batch = images.__getitems__([(epoch, 0) for epoch in range(40)])
    assert batch["labels"].dtype == torch.int64 and batch["labels"].shape == (40, 48, 48)
    padding = (batch["images"] == 128).all(1)
    assert ((batch["labels"] == 255) == padding).all() and padding.any()
    wrong = (is_red(batch["images"]) != (batch["labels"] == 0)) & ~padding
    assert wrong.flatten(1).sum(1).max() <= 60


@pytest.mark.parametrize("make", [detection, segmentation])
def test_a_view_depends_on_epoch_and_sample_only(make):
    annotation = objects(entry()) if make is detection else labels()
    images = make([(picture(), annotation)] * 4)
    alone = images.__getitems__([(5, 2)])["images"][0]
    among = images.__getitems__([(0, 0), (5, 2), (5, 1)])["images"]
    assert torch.equal(alone, among[1])
    assert not torch.equal(among[1], among[2])
    assert not torch.equal(alone, images.__getitems__([(6, 2)])["images"][0])


@pytest.mark.parametrize("make", [detection, segmentation])
def test_seeds_give_other_views(make):
    samples = [(picture(), objects(entry()) if make is detection else labels())] * 4
    keys = [(0, index) for index in range(4)]
    views = [make(samples, seed=seed).__getitems__(keys)["images"] for seed in (3, 4)]
    assert not any(torch.equal(one, other) for one, other in zip(*views))


def test_colours_are_drawn_anew_for_every_seed_epoch_and_sample():
    """With the window fixed, whatever differs is the colour; three images of four are changed in two or more ways."""
    fixed = {"scale_range": (1, 1), "flip": 0.0, "distort_colours": True}
    square = png(np.random.default_rng(0).integers(0, 256, (48, 48, 3), dtype=np.uint8))
    samples = [(square, png(np.ones((48, 48), dtype=np.uint8)))] * 8
    keys = [(0, index) for index in range(8)]
    first = segmentation(samples, **fixed).__getitems__(keys)["images"]
    later = segmentation(samples, **fixed).__getitems__([(1, index) for index in range(8)])["images"]
    seeded = segmentation(samples, **fixed, seed=4).__getitems__(keys)["images"]
    assert len({image.numpy().tobytes() for image in torch.cat([first, later, seeded])}) > 18


def test_the_long_side_limit_reaches_the_view():
    wide = [(png(np.zeros((10, 100, 3), dtype=np.uint8)), png(np.ones((10, 100), dtype=np.uint8)))]
    images = segmentation(wide, training=False, image_px=20, long_side_limit=4)
    assert images.__getitems__([(0, 0)])["images"].shape == (1, 3, 8, 80)


def test_labels_stay_with_their_boxes_when_objects_leave_the_view():
    """Two objects side by side in a wide image: a window shows one, the other, both or none of them."""
    image = np.full((40, 160, 3), 20, dtype=np.uint8)
    left, right = (slice(10, 30), slice(10, 30)), (slice(10, 30), slice(120, 150))
    image[left], image[right] = (250, 0, 0), (0, 250, 0)
    entries = [
        entry(1, segmentation=[[10, 10, 30, 10, 30, 30, 10, 30]], box=(10, 10, 20, 20)),
        entry(2, segmentation=[[120, 10, 150, 10, 150, 30, 120, 30]], box=(120, 10, 30, 20)),
    ]
    memory = Memory([(png(image), objects(*entries))])
    memory.sizes = np.array([[40, 160]])
    settings = {"image_px": 80, "scale_jitter": (2.0, 2.0), "flip": 0.5, "padding": GREY}
    batch = DetectionSet(memory, **settings, seed=3, training=True).__getitems__([(epoch, 0) for epoch in range(60)])
    seen = {tuple(target["labels"].tolist()) for target in batch["targets"]}
    for shown, target in zip(batch["images"], batch["targets"]):
        for label, mask in zip(target["labels"].tolist(), target["masks"].bool()):
            assert (shown[label - 1][mask].float().mean() > 125) and (shown[2 - label][mask].float().mean() < 60)
    assert {(1,), (2,)} <= seen


def test_training_drops_crowds_and_images_without_objects_scoring_keeps_all():
    samples = [
        (picture(), objects()),
        (picture(), objects(entry(crowd=1))),
        (picture(), objects(entry(2), entry(crowd=1))),
        (picture(), None),
    ]
    training, scoring = detection(samples), detection(samples, training=False)
    assert len(training) == 1 and training.sample_ids == ["2"] and len(scoring) == 4
    batch = training.__getitems__([(0, 0)])
    assert batch["samples"] == [2] and batch["targets"][0]["labels"].tolist() in ([2], [])
    targets = scoring.__getitems__([(0, index) for index in range(4)])["targets"]
    assert [len(target["boxes"]) for target in targets] == [0, 0, 1, 0]


def test_scoring_shows_whole_images():
    batch = detection([(picture(), objects(entry()))], training=False).__getitems__([(0, 0)])
    assert batch["images"].shape == (1, 3, 64, 64)
    assert batch["shown_sizes"] == [(48, 64)] and batch["stored_sizes"] == [(48, 64)]
    assert (batch["images"][0, :, 48:] == 128).all()
    batch = segmentation([(picture(), labels())], training=False).__getitems__([(0, 0)])
    assert batch["images"].shape == (1, 3, 48, 64) and batch["labels"].shape == (1, 48, 64)


def test_scoring_takes_every_scale_of_the_whole_image():
    for scale, shown in ((0.75, (36, 48)), (1.25, (60, 80))):
        images = segmentation([(picture(), labels())], training=False, score_scale=scale, distort_colours=True)
        batch = images.__getitems__([(0, 0)])
        assert batch["images"].shape[-2:] == shown and batch["labels"].shape == (1, 48, 64)
        red = is_red(batch["images"][0])
        assert red.sum() == pytest.approx(240 * scale**2, rel=0.15) and (batch["labels"] == 0).sum() == 240


def test_a_crop_with_one_dominant_class_is_tried_again():
    stored = np.full((48, 192), 2, dtype=np.uint8)
    stored[:, 60:100] = 1
    stored[:, 150:] = 0
    sample = [(png(np.zeros((48, 192, 3), dtype=np.uint8)), png(stored))]
    keys = [(epoch, 0) for epoch in range(60)]
    shares = {}
    for most in (1, 0.75):
        images = segmentation(sample, scale_range=(1, 1), max_class_share=most)
        shares[most] = [largest_share(crop.numpy()) for crop in images.__getitems__(keys)["labels"]]
    assert sum(share >= 0.75 for share in shares[1]) > 20
    assert sum(share >= 0.75 for share in shares[0.75]) <= 2  # eleven tries, a third of which succeed
    good = [place for place, share in enumerate(shares[1]) if share < 0.75]
    assert [shares[0.75][place] for place in good] == [shares[1][place] for place in good]  # the first crop was kept


def test_an_image_of_one_class_or_none_is_shown_all_the_same():
    for value in (0, 2):
        stored = np.full((48, 64), value, dtype=np.uint8)
        batch = segmentation([(picture(), png(stored))], max_class_share=0.75).__getitems__([(0, 0)])
        assert set(batch["labels"].unique().tolist()) <= {1, 255}


def test_colours_are_distorted_but_neither_padding_nor_labels():
    plain, distorted = (segmentation([(picture(), labels())], distort_colours=choice) for choice in (False, True))
    keys = [(epoch, 0) for epoch in range(40)]
    one, other = plain.__getitems__(keys), distorted.__getitems__(keys)
    assert torch.equal(one["labels"], other["labels"])
    padding = (one["labels"] == 255)[:, None].expand_as(one["images"])
    assert padding.any() and torch.equal(one["images"][padding], other["images"][padding])
    changed = (one["images"] != other["images"]).flatten(1).any(1)
    assert 30 < changed.sum() < 40  # each of four changes happens to half of the images
