"""Pre-training batches: crops and masks are functions of (seed, epoch, sample), whoever draws them."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from simmim.config.sections import ImagesSection
from simmim.data.crops import cut, draw_crops, open_image
from simmim.data.packing import pack
from simmim.data.pretraining import PretrainingImages
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


def batches(shards, keys, image=(32, 48), channels=3):
    geometry = Geometry(image, token=4, stride=8, masked_patch=16)
    return PretrainingImages(shards, ImagesSection(), Random(0.6), geometry, 7, channels).__getitems__(keys)


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


def test_crops_stay_inside_and_keep_to_area_and_aspect():
    sizes = np.tile([[100, 150]], (2000, 1))
    crops = draw_crops(sizes, (0.67, 1.0), (3 / 4, 4 / 3), 0.5, KeyedGenerator(0, 0, np.arange(2000), "crop"))
    for crop in crops:
        assert 0 <= crop.top <= 100 - crop.height and 0 <= crop.left <= 150 - crop.width
        assert 0.66 <= crop.height * crop.width / 15000 <= 1.0 or (crop.height, crop.width) == (100, 133)
        assert 0.74 <= crop.width / crop.height <= 1.35
    assert 0.45 < np.mean([crop.flip for crop in crops]) < 0.55
    assert len({crop.top for crop in crops}) > 10


def test_an_image_too_narrow_for_any_crop_gives_its_largest_central_one():
    (crop,) = draw_crops(
        np.array([[10, 200]]), (0.67, 1.0), (3 / 4, 4 / 3), 0.0, KeyedGenerator(0, 0, np.arange(1), "crop")
    )
    assert (crop.height, crop.width, crop.left) == (10, 13, 93)


def test_a_cut_is_the_resized_box_and_a_flip_mirrors_it(shards):
    image = open_image(shards.image_bytes(0))
    (crop,) = draw_crops(shards.sizes[:1], (0.67, 1.0), (3 / 4, 4 / 3), 1.0, KeyedGenerator(0, 0, np.arange(1), "crop"))
    box = crop.left, crop.top, crop.left + crop.width, crop.top + crop.height
    expected = np.asarray(image.crop(box).resize((24, 16), Image.Resampling.BILINEAR))[:, ::-1]
    np.testing.assert_array_equal(cut(image, crop, (16, 24)), expected)
