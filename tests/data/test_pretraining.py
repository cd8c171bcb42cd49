"""Pre-training batches: crops and masks are functions of (seed, epoch, sample), whoever draws them."""

import io

import numpy as np
import pytest
import torch
from helpers.levels import assert_near
from PIL import Image
from torch.utils.data import DataLoader

from simmim.config.sections import ImagesSection
from simmim.data.crops import cut, draw_crops
from simmim.data.packing import pack
from simmim.data.pixels import open_image, picture_of
from simmim.data.pretraining import PretrainingImages, whole_images
from simmim.data.samples import RawSample
from simmim.data.shards import Shards
from simmim.geometry import Geometry
from simmim.masks.random import Random
from simmim.rng import KeyedGenerator


class Noise:
    """Twelve noise images of different sizes, without labels."""

    def classes(self):
        return []

    def fingerprint(self):
        return ""

    def samples(self):
        random = np.random.default_rng(0)
        for i in range(12):
            stream = io.BytesIO()
            pixels = random.integers(0, 256, (40 + i, 50 + 2 * i, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(stream, "png")
            yield RawSample(f"{i}.png", stream.getvalue(), None)


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("noise")
    pack(Noise(), folder, codec="original", shard_samples=5, short_side_px=None)
    return Shards(folder)


def batches(shards, keys, image=(32, 48), channels=3, seed=7, **images):
    geometry = Geometry(image, token=4, stride=8, masked_patch=16)
    return PretrainingImages(shards, ImagesSection(**images), Random(0.6), geometry, seed, channels).__getitems__(keys)


KEYS = [(0, 3), (0, 11), (1, 3), (2, 0), (0, 5), (1, 1)]


def test_shapes_of_a_batch_of_images_that_are_not_square(shards):
    batch = batches(shards, KEYS)
    assert batch["images"].shape == (6, 3, 32, 48) and batch["images"].dtype == torch.uint8
    assert batch["hidden"].shape == (6, 8, 12) and batch["hidden"].dtype == torch.bool
    assert (batch["hidden"].sum((1, 2)) == 4 * 16).all()  # ceil(0.6 * 6) cells of 4 x 4 tokens
    assert batches(shards, KEYS, channels=1)["images"].shape == (6, 1, 32, 48)


def test_a_sample_does_not_depend_on_what_stands_beside_it(shards):
    whole = batches(shards, KEYS)
    for place, key in enumerate(KEYS):
        alone = batches(shards, [key])
        assert torch.equal(alone["images"][0], whole["images"][place])
        assert torch.equal(alone["hidden"][0], whole["hidden"][place])


def test_epochs_see_other_crops_and_masks(shards):
    batch = batches(shards, [(0, 3), (1, 3)])
    assert not torch.equal(batch["images"][0], batch["images"][1])
    assert not torch.equal(batch["hidden"][0], batch["hidden"][1])


def test_seeds_give_other_crops_and_masks(shards):
    one, other = (batches(shards, KEYS, seed=seed) for seed in (7, 8))
    assert not any(torch.equal(a, b) for a, b in zip(one["images"], other["images"]))
    assert not any(torch.equal(a, b) for a, b in zip(one["hidden"], other["hidden"]))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_batch_holds_the_crops_that_its_settings_ask_for(shards, channels):
    """Against torchvision's rule and Pillow, with settings that are nobody's defaults."""
    settings = {"crop_scale": (0.2, 0.3), "crop_ratio": (0.5, 0.6), "flip": 1.0}
    found = batches(shards, KEYS, channels=channels, **settings)["images"]
    epochs, samples = np.array(KEYS).T
    crops = draw_crops(shards.sizes[samples], (0.2, 0.3), (0.5, 0.6), 1.0, KeyedGenerator(7, epochs, samples, "crop"))
    for image, sample, crop in zip(found, samples, crops):
        source = Image.open(io.BytesIO(shards.image_bytes(int(sample)))).convert("RGB" if channels == 3 else "L")
        box = crop.left, crop.top, crop.left + crop.width, crop.top + crop.height
        expected = np.asarray(source.crop(box).resize((48, 32), Image.Resampling.BILINEAR))[:, ::-1]
        assert_near(image, expected)


def test_whole_images_are_resized_and_nothing_else(shards):
    views = whole_images(shards, np.array([4, 2]), (16, 24), 3)
    for view, sample in zip(views, (4, 2)):
        image = Image.open(io.BytesIO(shards.image_bytes(sample))).resize((24, 16), Image.Resampling.BILINEAR)
        assert_near(view, image)


def test_workers_change_nothing(shards):
    geometry = Geometry((32, 32), token=4, stride=8, masked_patch=16)
    dataset = PretrainingImages(shards, ImagesSection(), Random(0.6), geometry, 0, 3)
    sampler = [KEYS[:3], KEYS[3:]]
    plain, worked = (
        list(DataLoader(dataset, batch_sampler=sampler, collate_fn=lambda batch: batch, num_workers=workers))
        for workers in (0, 2)
    )
    for one, other in zip(plain, worked, strict=True):
        assert all(torch.equal(one[name], other[name]) for name in one)


def drawn(size, scale, ratio, flip=0.5, n=4000):
    crops = draw_crops(np.tile([size], (n, 1)), scale, ratio, flip, KeyedGenerator(0, 0, np.arange(n), "crop"))
    return crops, *(np.array([getattr(crop, name) for crop in crops]) for name in ("top", "left", "height", "width"))


def test_crops_stay_inside_and_keep_to_area_and_aspect():
    crops, top, left, height, width = drawn((100, 150), (0.67, 1.0), (3 / 4, 4 / 3))
    assert (top >= 0).all() and (top + height <= 100).all() and (left >= 0).all() and (left + width <= 150).all()
    share, central = height * width / 15000, (height == 100) & (width == 133)
    assert ((share > 0.66) & (share <= 1) | central).all()
    assert (width / height > 0.74).all() and (width / height < 1.35).all()
    assert 0.45 < np.mean([crop.flip for crop in crops]) < 0.55


def test_area_is_uniform_and_aspect_log_uniform_with_width_over_height():
    """Where every draw fits, nothing is turned away: mean and extremes of 4000 draws lie within 5 standard errors."""
    _, _, _, height, width = drawn((1000, 1000), (0.1, 0.3), (0.5, 2.0))
    share, aspect = height * width / 1e6, np.log(width / height)
    assert share.mean() == pytest.approx(0.2, abs=0.005) and share.min() < 0.102 and share.max() > 0.298
    assert aspect.mean() == pytest.approx(0.0, abs=0.035) and aspect.std() == pytest.approx(
        2 * np.log(2) / 12**0.5, rel=0.05
    )
    assert (np.log(width / height) > 0).mean() == pytest.approx(0.5, abs=0.04)
    _, _, _, height, width = drawn((1000, 1000), (0.1, 0.3), (1.5, 1.5))
    assert width / height == pytest.approx(1.5, rel=0.02)


def test_places_are_uniform_and_independent_and_reach_both_edges():
    _, top, left, _, _ = drawn((12, 12), (0.45, 0.45), (1.0, 1.0))  # 8 x 8: four rows and columns of room
    for place in (top, left):
        assert np.bincount(place) / len(place) == pytest.approx([0.2] * 5, abs=0.035)
    assert abs(np.corrcoef(top, left)[0, 1]) < 0.08


@pytest.mark.parametrize("flip", [0.0, 0.2, 1.0])
def test_flips_have_their_probability(flip):
    crops, *_ = drawn((20, 20), (0.5, 1.0), (1.0, 1.0), flip)
    assert np.mean([crop.flip for crop in crops]) == pytest.approx(flip, abs=0.032)


def test_up_to_ten_draws_are_tried_before_the_central_crop():
    """A first draw fits in about a quarter of the cases; all ten fail in 0.75^10, 6 %."""
    _, top, left, height, width = drawn((100, 100), (0.9, 1.0), (0.5, 2.0))
    central = (height == 100) & (width == 100)
    assert 0.0 < central.mean() < 0.6 and len(set(zip(height, width))) > 20
    _, *firsts = drawn((100, 100), (0.9, 1.0), (0.5, 2.0), n=200)
    assert all((first == every[:200]).all() for first, every in zip(firsts, (top, left, height, width)))


def test_an_image_too_narrow_for_any_crop_gives_its_largest_central_one():
    (crop,) = draw_crops(
        np.array([[10, 200]]), (0.67, 1.0), (3 / 4, 4 / 3), 0.0, KeyedGenerator(0, 0, np.arange(1), "crop")
    )
    assert (crop.height, crop.width, crop.left, crop.top) == (10, 13, 93, 0)
    (crop,) = draw_crops(
        np.array([[200, 12]]), (0.67, 1.0), (3 / 4, 4 / 3), 0.0, KeyedGenerator(0, 0, np.arange(1), "crop")
    )
    assert (crop.height, crop.width, crop.left, crop.top) == (16, 12, 0, 92)


def test_a_cut_is_the_resized_box_and_a_flip_mirrors_it(shards):
    image = open_image(shards.image_bytes(0))
    (crop,) = draw_crops(shards.sizes[:1], (0.67, 1.0), (3 / 4, 4 / 3), 1.0, KeyedGenerator(0, 0, np.arange(1), "crop"))
    box = crop.left, crop.top, crop.left + crop.width, crop.top + crop.height
    expected = picture_of(image).crop(box).resize((24, 16), Image.Resampling.BILINEAR)
    assert_near(cut(image, crop, (16, 24)).flip(2), expected)
