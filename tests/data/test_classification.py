"""Labelled batches: the right label beside each image, and every setting of the augmentation does something."""

import io
import random

import numpy as np
import pytest
import torch
from helpers.levels import assert_near
from PIL import Image
from timm.data import create_transform
from timm.data.auto_augment import RandAugment, rand_augment_transform

from simmim.config.errors import validated
from simmim.data.classification import LabelledImages, scoring_images
from simmim.data.packing import pack
from simmim.data.samples import RawSample
from simmim.data.shards import Shards
from simmim.evaluate.finetune.settings import FinetuneSettings

CLASSES = 4
MEAN = (0.5, 0.5, 0.5)
PLAIN = {"image_px": 16, "auto_augment": "", "flip": 0.0, "crop_scale": (1.0, 1.0), "crop_ratio": (1.0, 1.0)}


class Labelled:
    """24 square images; the brightest channel tells the class, a gradient where a pixel comes from."""

    def classes(self):
        return [f"class {n}" for n in range(CLASSES)]

    def samples(self):
        for n in range(24):
            label = (n * 7) % CLASSES
            pixels = np.random.default_rng(n).integers(0, 60, (40, 40, 3), dtype=np.uint8)
            pixels[..., 0] += np.arange(40, dtype=np.uint8)[None, :]  # brighter to the right
            pixels[: 10 * (label + 1)] += 120
            stream = io.BytesIO()
            Image.fromarray(pixels).save(stream, "png")
            yield RawSample(f"{n}.png", stream.getvalue(), label)

    def fingerprint(self):
        return ""


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("labelled")
    pack(Labelled(), folder, codec="original", shard_samples=10, short_side_px=None)
    return Shards(folder)


def dataset(shards, seed=5, mean=MEAN, **settings):
    return LabelledImages(shards, FinetuneSettings(**PLAIN | settings), seed, mean)


KEYS = [(0, 3), (0, 17), (1, 3), (2, 0), (0, 5), (1, 22)]


def test_each_image_comes_with_its_own_label_whatever_the_order(shards):
    batch = dataset(shards).__getitems__(KEYS)
    assert batch["images"].dtype == torch.uint8 and batch["labels"].dtype == torch.int64
    assert batch["labels"].tolist() == [(n * 7) % CLASSES for _, n in KEYS]
    bright = (batch["images"].float().mean((1, 3)) > 110).sum(1)  # rows of 16
    assert (bright / 4).round().tolist() == [label + 1 for label in batch["labels"].tolist()]


def test_labels_stay_with_their_images_when_only_a_few_of_each_class_are_used(shards):
    few = dataset(shards, labels_per_class=2)
    assert len(few) == 2 * CLASSES and len(few.sample_ids) == len(set(few.sample_ids)) == len(few)
    batch = few.__getitems__([(0, n) for n in range(len(few))])
    assert np.bincount(batch["labels"]).tolist() == [2] * CLASSES
    assert batch["labels"].tolist() == [(int(name.removesuffix(".png")) * 7) % CLASSES for name in few.sample_ids]
    bright = (batch["images"].float().mean((1, 3)) > 110).sum(1)
    assert (bright / 4).round().tolist() == [label + 1 for label in batch["labels"].tolist()]
    assert dataset(shards, seed=6, labels_per_class=2).sample_ids != few.sample_ids


def test_a_sample_does_not_depend_on_what_stands_beside_it(shards):
    augmented = {"auto_augment": "rand-m9-mstd0.5-inc1", "crop_scale": (0.08, 1.0), "flip": 0.5}
    images = dataset(shards, **augmented)
    whole = images.__getitems__(KEYS)
    for place, key in enumerate(KEYS):
        alone = images.__getitems__([key])
        assert torch.equal(alone["images"][0], whole["images"][place])
        assert alone["labels"][0] == whole["labels"][place]


def differing(one, other):
    return (one["images"] != other["images"]).flatten(1).any(1).sum()


KEYS_OF_AN_EPOCH = [(0, n) for n in range(24)]


def test_randaugment_changes_most_images_and_differs_by_epoch_and_seed(shards):
    """Two changes, each with probability 1/2: three quarters of the images are changed, but for those that stay."""
    plain = dataset(shards).__getitems__(KEYS_OF_AN_EPOCH)
    images = dataset(shards, auto_augment="rand-m9-mstd0.5-inc1")
    augmented = images.__getitems__(KEYS_OF_AN_EPOCH)
    assert differing(plain, augmented) >= 12
    assert torch.equal(augmented["labels"], plain["labels"])
    assert differing(augmented, images.__getitems__([(1, n) for n in range(24)])) >= 12
    other_seed = dataset(shards, seed=6, auto_augment="rand-m9-mstd0.5-inc1").__getitems__(KEYS_OF_AN_EPOCH)
    assert differing(augmented, other_seed) >= 12


def test_randaugment_leaves_the_generators_that_others_draw_from(shards):
    images, draws = dataset(shards, auto_augment="rand-m9-mstd0.5-inc1"), []
    for keys in ([], KEYS):
        random.seed(1)
        np.random.seed(2)
        if keys:
            images.__getitems__(keys)
        draws.append((random.random(), np.random.rand()))
    assert draws[0] == draws[1]


def test_randaugment_fills_with_the_mean(shards):
    images = dataset(shards, mean=(0.0, 1.0, 0.0), auto_augment="rand-m9-mstd0.5-inc1")
    batch = images.__getitems__([(epoch, n) for epoch in range(4) for n in range(24)])["images"]
    filled = ((batch[:, 0] == 0) & (batch[:, 1] == 255) & (batch[:, 2] == 0)).flatten(1).float().mean(1)
    assert (filled > 0.02).sum() > 10  # rotation, shear and translation are 5 of 15 changes


def test_randaugment_makes_the_changes_of_the_released_call(shards):
    """Its arguments to timm's transform for fine-tuning: the policy, the mean, and bicubic interpolation."""
    policy = "rand-m9-mstd0.5-inc1"
    released = create_transform(16, is_training=True, auto_augment=policy, interpolation="bicubic", mean=MEAN)
    (theirs,) = [each for each in released.transforms if isinstance(each, RandAugment)]
    ours = dataset(shards, auto_augment=policy)._augment
    changes = [[(each.name, each.prob, each.magnitude, each.kwargs) for each in all.ops] for all in (ours, theirs)]
    assert changes[0] == changes[1] and (ours.num_layers, ours.choice_weights) == (theirs.num_layers, None)


def test_randaugment_survives_the_strongest_magnitudes(shards):
    images = dataset(shards, auto_augment="rand-m9-mstd20-p1-n4-inc1")
    assert len(images.__getitems__([(epoch, n) for epoch in range(8) for n in range(24)])["images"]) == 192


POLICIES = [  # some taken, some not
    "rand",
    "rand-m9",
    "rand-m9-mstd0.5-inc1",
    "rand-mstd1-tweights",
    "rand-t3a-n3",
    "rand-p1-mmax15",
    "rand-mstd1e3",
    "rand-mstd.5",
    "rand-m9.",
    "rand-n2.5",
    "rand-p0..5",
    "rand-m9x",
    "rand-x3",
    "rand-m9-mstd0.5-x3",
    "rand-m-5",
    "rand-m9.5",
    "rand-inc0",
    "rand-inc",
    "randm9",
    "Rand-m9",
    "original",
    "augmix-m5-w4-d2",
]


@pytest.mark.parametrize("policy", POLICIES)
def test_a_policy_is_taken_where_timm_takes_it(policy):
    """An unknown one would end a fine-tuning in an AssertionError of timm, after the pre-training."""
    try:
        rand_augment_transform(policy, {})
    except (AssertionError, ValueError):
        message = rf"auto_augment = '{policy}': it must be a RandAugment policy of timm, such as rand-m9-mstd0.5-inc1"
        with pytest.raises(ValueError, match=message):
            validated(FinetuneSettings, PLAIN | {"auto_augment": policy})
    else:
        assert FinetuneSettings(**PLAIN | {"auto_augment": policy}).auto_augment == policy


@pytest.mark.parametrize("scale", [(0.05, 0.1), (0.2, 0.3), (0.9, 1.0)])
def test_crops_show_the_share_of_the_area_that_crop_scale_says(shards, scale):
    """The gradient of 40 grey levels over the side tells how much of it a crop shows."""
    images = dataset(shards, crop_scale=scale, crop_ratio=(1.0, 1.0), image_px=40)
    batch = images.__getitems__([(epoch, n) for epoch in range(4) for n in range(24)])["images"].float()
    difference = batch[:, 0] - batch[:, 1]  # [b, H, W]: the gradient and noise that averages out
    columns = difference.mean(1)
    slope = np.polyfit(np.arange(40), columns.T.numpy(), 1)[0]  # grey levels a pixel, the side of the crop over 40
    low, high = np.sqrt(scale)
    assert low - 0.08 < slope.mean() < high + 0.08


def test_crop_ratio_and_flip_reach_the_crops(shards):
    plain = dataset(shards).__getitems__(KEYS_OF_AN_EPOCH)
    flipped = dataset(shards, flip=1.0).__getitems__(KEYS_OF_AN_EPOCH)
    assert torch.equal(plain["images"].flip(3), flipped["images"])
    half = dataset(shards, flip=0.5).__getitems__(KEYS_OF_AN_EPOCH)
    assert 4 <= differing(plain, half) <= 20
    narrow = dataset(shards, crop_scale=(0.3, 0.3), crop_ratio=(0.5, 0.5)).__getitems__(KEYS_OF_AN_EPOCH)
    wide = dataset(shards, crop_scale=(0.3, 0.3), crop_ratio=(2.0, 2.0)).__getitems__(KEYS_OF_AN_EPOCH)
    assert differing(narrow, wide) == 24


def test_crops_are_bicubic(shards):
    batch = dataset(shards).__getitems__([(0, 0)])
    image = Image.open(io.BytesIO(shards.image_bytes(0)))
    assert_near(batch["images"][0], image.resize((16, 16), Image.Resampling.BICUBIC))


def test_the_scoring_view_is_the_centre_of_the_resized_image(shards):
    views = scoring_images(shards, [4, 9], 16, 0.8, 3)
    for sample, view in zip((4, 9), views):
        image = Image.open(io.BytesIO(shards.image_bytes(sample))).resize((20, 20), Image.Resampling.BICUBIC)
        assert_near(view, np.asarray(image)[2:18, 2:18])
    assert scoring_images(shards, [4], 16, 0.8, 1).shape == (1, 1, 16, 16)
